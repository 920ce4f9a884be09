package model

// mlOperations are MIL's operators, from coremltools 9.0.
var mlOperations = words(`
abs acos add affine argsort asin atan atanh avg_pool band_part batch_norm batch_to_space cast ceil clamped_relu
classify clip concat cond const constexpr_affine_dequantize constexpr_blockwise_shift_scale constexpr_cast
constexpr_lut_to_dense constexpr_lut_to_sparse constexpr_sparse_blockwise_shift_scale constexpr_sparse_to_dense conv
conv_quantized conv_transpose cos cosh crop crop_resize cumsum depth_to_space dequantize einsum elu equal erf exp exp2
expand_dims fill fill_like flatten2d floor floor_div gather gather_along_axis gather_nd gelu greater greater_equal gru
identity instance_norm inverse l2_norm l2_pool layer_norm leaky_relu less less_equal linear linear_activation
list_gather list_length list_read list_scatter list_write local_response_norm log logical_and logical_not logical_or
logical_xor lstm make_list matmul max_pool maximum minimum mod mul non_maximum_suppression non_zero not_equal one_hot
pad pixel_shuffle pixel_unshuffle pow prelu quantize random_bernoulli random_categorical random_normal random_uniform
range_1d read_state real_div reduce_argmax reduce_argmin reduce_l1_norm reduce_l2_norm reduce_log_sum
reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_prod reduce_sum reduce_sum_square relu relu6 resample
reshape reshape_like resize resize_bilinear resize_nearest_neighbor reverse reverse_sequence rnn round rsqrt
scaled_dot_product_attention scaled_tanh scatter scatter_along_axis scatter_nd select shape sigmoid sigmoid_hard sign
silu sin sinh slice_by_index slice_by_size slice_update sliding_windows softmax softplus softplus_parametric softsign
space_to_batch space_to_depth split sqrt square squeeze stack sub tan tanh threshold thresholded_relu tile topk
transpose upsample_bilinear upsample_nearest_neighbor while_loop write_state`)

// mlLeastLayer is the lowest number of a field that holds a layer's settings.
const mlLeastLayer = 100

// mlLayers are the kinds of layers by the number of the field that holds their
// settings, NeuralNetworkLayer in NeuralNetwork.proto of coremltools 9.0.
var mlLayers = map[int]string{
	100: "convolution", 120: "pooling", 130: "activation", 140: "innerProduct", 150: "embedding", 160: "batchnorm", 165: "mvn", 170: "l2normalize", 175: "softmax", 180: "lrn", 190: "crop", 200: "padding", 210: "upsample", 211: "resizeBilinear", 212: "cropResize", 220: "unary", 230: "add", 231: "multiply", 240: "average", 245: "scale", 250: "bias", 260: "max", 261: "min", 270: "dot", 280: "reduce", 290: "loadConstant", 300: "reshape", 301: "flatten", 310: "permute", 320: "concat", 330: "split", 340: "sequenceRepeat", 345: "reorganizeData", 350: "slice", 400: "simpleRecurrent", 410: "gru", 420: "uniDirectionalLSTM", 430: "biDirectionalLSTM", 500: "custom", 600: "copy", 605: "branch", 615: "loop", 620: "loopBreak", 625: "loopContinue", 635: "rangeStatic", 640: "rangeDynamic", 660: "clip",
	665: "ceil", 670: "floor", 680: "sign", 685: "round", 700: "exp2", 710: "sin", 715: "cos", 720: "tan", 730: "asin",
	735: "acos", 740: "atan", 750: "sinh", 755: "cosh", 760: "tanh", 770: "asinh", 775: "acosh", 780: "atanh", 790: "erf",
	795: "gelu", 815: "equal", 820: "notEqual", 825: "lessThan", 827: "lessEqual", 830: "greaterThan", 832: "greaterEqual", 840: "logicalOr", 845: "logicalXor", 850: "logicalNot", 855: "logicalAnd", 865: "modBroadcastable",
	870: "minBroadcastable", 875: "maxBroadcastable", 880: "addBroadcastable", 885: "powBroadcastable", 890: "divideBroadcastable", 895: "floorDivBroadcastable", 900: "multiplyBroadcastable", 905: "subtractBroadcastable", 920: "tile", 925: "stack", 930: "gather", 935: "scatter", 940: "gatherND", 945: "scatterND", 950: "softmaxND", 952: "gatherAlongAxis", 954: "scatterAlongAxis", 960: "reverse", 965: "reverseSeq", 975: "splitND", 980: "concatND", 985: "transpose", 995: "sliceStatic", 1000: "sliceDynamic", 1005: "slidingWindows", 1015: "topK", 1020: "argMin", 1025: "argMax", 1040: "embeddingND", 1045: "batchedMatmul", 1065: "getShape", 1070: "loadConstantND", 1080: "fillLike",
	1085: "fillStatic", 1090: "fillDynamic", 1100: "broadcastToLike", 1105: "broadcastToStatic", 1110: "broadcastToDynamic", 1120: "squeeze", 1125: "expandDims", 1130: "flattenTo2D", 1135: "reshapeLike", 1140: "reshapeStatic", 1145: "reshapeDynamic", 1150: "rankPreservingReshape", 1155: "constantPad", 1170: "randomNormalLike",
	1175: "randomNormalStatic", 1180: "randomNormalDynamic", 1190: "randomUniformLike", 1195: "randomUniformStatic", 1200: "randomUniformDynamic", 1210: "randomBernoulliLike", 1215: "randomBernoulliStatic", 1220: "randomBernoulliDynamic",
	1230: "categoricalDistribution", 1250: "reduceL1", 1255: "reduceL2", 1260: "reduceMax", 1265: "reduceMin", 1270: "reduceSum", 1275: "reduceProd", 1280: "reduceMean", 1285: "reduceLogSum", 1290: "reduceSumSquare", 1295: "reduceLogSumExp", 1313: "whereNonZero", 1315: "matrixBandPart", 1320: "lowerTriangular", 1325: "upperTriangular",
	1330: "whereBroadcastable", 1350: "layerNormalization", 1400: "NonMaximumSuppression", 1450: "oneHot", 1455: "cumSum",
	1460: "clampedReLU", 1461: "argSort", 1465: "pooling3d", 1466: "globalPooling3d", 1470: "sliceBySize", 1471: "convolution3d",
}

// mlFields are the fields of a message that hold weights: nil where one is a
// WeightParams, else those within it.
type mlFields map[int]mlFields

// mlWeightFields are the fields of each kind of layer that hold weights.
var mlWeightFields = map[int]mlFields{
	100:  {90: nil, 91: nil},                                                                                                                                                                                                            // convolution
	130:  {25: {1: nil}, 71: {1: nil, 2: nil}},                                                                                                                                                                                          // activation
	140:  {20: nil, 21: nil},                                                                                                                                                                                                            // innerProduct
	150:  {20: nil, 21: nil},                                                                                                                                                                                                            // embedding
	160:  {15: nil, 16: nil, 17: nil, 18: nil},                                                                                                                                                                                          // batchnorm
	245:  {2: nil, 5: nil},                                                                                                                                                                                                              // scale
	250:  {2: nil},                                                                                                                                                                                                                      // bias
	290:  {2: nil},                                                                                                                                                                                                                      // loadConstant
	400:  {10: {25: {1: nil}, 71: {1: nil, 2: nil}}, 30: nil, 31: nil, 32: nil},                                                                                                                                                         // simpleRecurrent
	410:  {10: {25: {1: nil}, 71: {1: nil, 2: nil}}, 30: nil, 31: nil, 32: nil, 50: nil, 51: nil, 52: nil, 70: nil, 71: nil, 72: nil},                                                                                                   // gru
	420:  {10: {25: {1: nil}, 71: {1: nil, 2: nil}}, 20: {1: nil, 2: nil, 3: nil, 4: nil, 20: nil, 21: nil, 22: nil, 23: nil, 40: nil, 41: nil, 42: nil, 43: nil, 60: nil, 61: nil, 62: nil}},                                           // uniDirectionalLSTM
	430:  {10: {25: {1: nil}, 71: {1: nil, 2: nil}}, 11: {25: {1: nil}, 71: {1: nil, 2: nil}}, 20: {1: nil, 2: nil, 3: nil, 4: nil, 20: nil, 21: nil, 22: nil, 23: nil, 40: nil, 41: nil, 42: nil, 43: nil, 60: nil, 61: nil, 62: nil}}, // biDirectionalLSTM
	500:  {20: nil},                                                                                                                                                                                                                     // custom
	1040: {20: nil, 21: nil},                                                                                                                                                                                                            // embeddingND
	1045: {8: nil, 9: nil},                                                                                                                                                                                                              // batchedMatmul
	1070: {2: nil},                                                                                                                                                                                                                      // loadConstantND
	1350: {3: nil, 4: nil},                                                                                                                                                                                                              // layerNormalization
	1471: {60: nil, 61: nil},                                                                                                                                                                                                            // convolution3d
}

// mlAlike are the operators of TensorFlow that do what one of MIL's does, as
// far as a rule asks; those that are not listed do nothing of what is asked.
// https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
var mlAlike = map[string]string{
	"random_uniform": "RandomUniform", "random_normal": "RandomStandardNormal", "random_categorical": "Multinomial",
	"less": "Less", "less_equal": "LessEqual", "greater": "Greater", "greater_equal": "GreaterEqual", "equal": "Equal",
	"not_equal": "NotEqual", "floor": "Floor", "ceil": "Ceil", "round": "Floor",
	"logical_not": "LogicalNot", "logical_and": "LogicalAnd", "logical_or": "LogicalOr",
	"add": "AddV2", "sub": "Sub", "mul": "Mul", "real_div": "RealDiv", "select": "SelectV2", "relu": "Relu",
	"reduce_mean": "Mean", "reduce_sum": "Sum", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "square": "Square", "abs": "Abs",
	"minimum": "Minimum", "maximum": "Maximum",
	"cast": "Cast", "reshape": "Reshape", "squeeze": "Squeeze", "expand_dims": "ExpandDims", "transpose": "Transpose",
	"identity": "Identity", "quantize": "Quantize", "dequantize": "Dequantize",
	"conv": "Conv2D", "conv_transpose": "Conv2DBackpropInput", "linear": "MatMul", "matmul": "MatMul", "batch_norm": "FusedBatchNorm",
	"read_state": "ReadVariableOp",
}

// mlAction is what one of MIL's operators does.
func mlAction(op string) action {
	switch {
	case !mlOperations[op]:
		return isOpaque
	case op == "random_bernoulli":
		return doesDraw | doesCompare
	case op == "reduce_sum_square" || op == "reduce_l2_norm":
		return doesReduce
	}
	return tensorFlowActions[mlAlike[op]]
}

// mlLayerActions says what a kind of layer does.
var mlLayerActions = actionTable(map[action]string{
	doesPass:                    "copy reshape permute transpose squeeze expandDims reshapeStatic reshapeDynamic reshapeLike rankPreservingReshape flattenTo2D flatten broadcastToLike broadcastToStatic broadcastToDynamic",
	doesDraw:                    "randomNormalLike randomNormalStatic randomNormalDynamic randomUniformLike randomUniformStatic randomUniformDynamic categoricalDistribution",
	doesDraw | doesCompare:      "randomBernoulliLike randomBernoulliStatic randomBernoulliDynamic",
	doesCompare | doesShapeMask: "equal notEqual lessThan lessEqual greaterThan greaterEqual floor ceil round sign",
	doesShapeMask: `logicalOr logicalXor logicalNot logicalAnd add addBroadcastable subtractBroadcastable divideBroadcastable multiply
		multiplyBroadcastable whereBroadcastable minBroadcastable maxBroadcastable activation scale bias clip`,
	doesApply:  "multiply multiplyBroadcastable whereBroadcastable",
	doesReduce: "reduceMean reduceSum reduceSumSquare reduceL2",
	doesScale: `add addBroadcastable subtractBroadcastable divideBroadcastable multiply multiplyBroadcastable minBroadcastable
		maxBroadcastable activation scale bias reduceMean reduceSum copy whereBroadcastable`,
	doesLimit:     "min max minBroadcastable maxBroadcastable",
	doesWeigh:     "convolution convolution3d innerProduct batchedMatmul multiply multiplyBroadcastable add addBroadcastable subtractBroadcastable",
	doesNormalize: "batchnorm",
	doesReshape:   "reshape reshapeStatic reshapeDynamic reshapeLike rankPreservingReshape",
	keepsRank: `copy add addBroadcastable subtractBroadcastable divideBroadcastable multiply multiplyBroadcastable activation scale bias unary
		convolution batchnorm pooling whereBroadcastable`,
})
