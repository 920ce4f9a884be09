package model

// openVINONames are the operators of OpenVINO's opsets, from the library of
// version 2026.4, under the names that a file has for them.
var openVINONames = words(`
Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Assign Atan Atanh AvgPool BGRtoNV12 BatchNormInference
BatchToSpace BinaryConvolution BitwiseAnd BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Broadcast
Bucketize CTCGreedyDecoder CTCGreedyDecoderSeqLen CTCLoss Ceiling Clamp Col2Im Concat Const Convert ConvertLike
ConvertPromoteTypes Convolution ConvolutionBackpropData Cos Cosh CumSum DFT DeformableConvolution DeformablePSROIPooling
DepthToSpace DetectionOutput Divide Einsum Elu EmbeddingBagOffsets EmbeddingBagOffsetsSum EmbeddingBagPacked
EmbeddingBagPackedSum EmbeddingSegmentsSum Equal Erf ErfInv Exp ExperimentalDetectronDetectionOutput
ExperimentalDetectronGenerateProposalsSingleImage ExperimentalDetectronPriorGridGenerator
ExperimentalDetectronROIFeatureExtractor ExperimentalDetectronTopKROIs ExtractImagePatches Eye FakeConvert FakeQuantize
Floor FloorMod GRN GRUCell GRUSequence Gather GatherElements GatherND GatherTree Gelu GenerateProposals Greater
GreaterEqual GridSample GroupConvolution GroupConvolutionBackpropData GroupNormalization GroupedMatMul HSigmoid HSwish
HardSigmoid I420toBGR I420toRGB IDFT IRDFT ISTFT Identity If Interpolate Inverse IsFinite IsInf IsNaN LRN LSTMCell
LSTMSequence Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor Loop MVN MatMul MatrixNms MaxPool
Maximum Minimum Mish Mod MulticlassNms Multinomial Multiply NMSRotated NV12toBGR NV12toRGB Negative NonMaxSuppression
NonZero NormalizeL2 NotEqual OneHot PRelu PReLU PSROIPooling Pad Parameter Power PriorBox PriorBoxClustered Proposal
RDFT RNNCell RNNSequence ROIAlign ROIAlignRotated ROIPooling RandomUniform Range ReLU Relu ReadValue ReduceL1 ReduceL2
ReduceLogicalAnd ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum RegionYolo ReorgYolo Reshape Result
Reverse ReverseSequence RGBtoNV12 Roll Round STFT ScaledDotProductAttention ScatterElementsUpdate ScatterNDUpdate
ScatterUpdate SearchSorted SegmentMax Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh Slice SliceScatter
Softmax SoftMax SoftPlus SoftSign SpaceToBatch SpaceToDepth SparseFillEmptyRows Split Sqrt SquaredDifference Squeeze
StridedSlice StringTensorPack StringTensorUnpack Subtract Swish Tan Tanh TensorIterator Tile TopK Transpose Unique
Unsqueeze VariadicSplit Xor`)

// openVINOAlike are the operators of TensorFlow that do what one of OpenVINO's
// does, as far as a rule asks; those that are not listed do nothing of what is
// asked. Power is a square or a root by its exponent.
// https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets.html
var openVINOAlike = map[string]string{
	"RandomUniform": "RandomUniform", "Multinomial": "Multinomial",
	"Less": "Less", "LessEqual": "LessEqual", "Greater": "Greater", "GreaterEqual": "GreaterEqual", "Equal": "Equal",
	"NotEqual": "NotEqual", "Floor": "Floor", "Ceiling": "Ceil",
	"LogicalNot": "LogicalNot", "LogicalAnd": "LogicalAnd", "LogicalOr": "LogicalOr",
	"Add": "AddV2", "Subtract": "Sub", "Multiply": "Mul", "Divide": "RealDiv", "Select": "SelectV2", "Relu": "Relu", "ReLU": "Relu",
	"ReduceMean": "Mean", "ReduceSum": "Sum", "Sqrt": "Sqrt", "SquaredDifference": "SquaredDifference", "Abs": "Abs",
	"Minimum": "Minimum", "Maximum": "Maximum",
	"Convert": "Cast", "ConvertLike": "Cast", "Reshape": "Reshape", "Squeeze": "Squeeze", "Unsqueeze": "ExpandDims",
	"Transpose": "Transpose", "Broadcast": "BroadcastTo", "Identity": "Identity", "FakeQuantize": "Quantize", "FakeConvert": "Quantize",
	"Convolution": "Conv2D", "GroupConvolution": "DepthwiseConv2dNative", "ConvolutionBackpropData": "Conv2DBackpropInput",
	"GroupConvolutionBackpropData": "Conv2DBackpropInput", "MatMul": "MatMul", "BatchNormInference": "FusedBatchNorm",
	"ReadValue": "ReadVariableOp",
}

// openVINOTypes are element types in Value.DType's words, with their size in
// bits; that of a string is not fixed.
var openVINOTypes = map[string]struct {
	name string
	bits int
}{
	"boolean": {"bool", 8}, "bf16": {"bfloat16", 16}, "f16": {"float16", 16}, "f32": {"float32", 32}, "f64": {"float64", 64},
	"i4": {"int4", 4}, "i8": {"int8", 8}, "i16": {"int16", 16}, "i32": {"int32", 32}, "i64": {"int64", 64},
	"u1": {"uint1", 1}, "u2": {"uint2", 2}, "u3": {"uint3", 0}, "u4": {"uint4", 4}, "u6": {"uint6", 0}, "u8": {"uint8", 8},
	"u16": {"uint16", 16}, "u32": {"uint32", 32}, "u64": {"uint64", 64}, "nf4": {"nf4", 4}, "string": {"str", 0},
	"f8e4m3": {"float8_e4m3fn", 8}, "f8e5m2": {"float8_e5m2", 8}, "f4e2m1": {"float4_e2m1fn", 4}, "f8e8m0": {"float8_e8m0fnu", 8},
}

// openVINOPrecisions are what ports call the element types.
var openVINOPrecisions = map[string]string{
	"BOOL": "bool", "BF16": "bfloat16", "FP16": "float16", "FP32": "float32", "FP64": "float64",
	"I4": "int4", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "BIN": "uint1", "U2": "uint2", "U3": "uint3", "U4": "uint4",
	"U6": "uint6", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "NF4": "nf4", "STRING": "str",
	"F8E4M3": "float8_e4m3fn", "F8E5M2": "float8_e5m2", "F4E2M1": "float4_e2m1fn", "F8E8M0": "float8_e8m0fnu",
}

// openVINOBodies are the elements that hold what an operator runs, with the
// elements that say what goes into it.
var openVINOBodies = map[string]string{"body": "port_map", "then_body": "then_port_map", "else_body": "else_port_map"}
