package model

// What the options of TensorFlow Lite's operators consist of, as schema.fbs of
// TensorFlow 2.21 has them, by their number in the unions BuiltinOptions and
// BuiltinOptions2. One word for each field in order: the bytes of a number,
// with its default as "=" and the bits that are stored when that is not zero;
// "v" and the bytes of an element of a vector; "s" a string; "g" and "vg" the
// number of a sub-graph and a vector of them; "-" a field no longer used.

// tfliteOptions are those in builtin_options.
var tfliteOptions = map[uint64]string{
	1:   "1 4 4 1 4=1 4=1 1",     // Conv2DOptions
	2:   "1 4 4 4 1 4=1 4=1",     // DepthwiseConv2DOptions
	3:   "4 v4 v4",               // ConcatEmbeddingsOptions
	4:   "1",                     // LSHProjectionOptions
	5:   "1 4 4 4 4 1",           // Pool2DOptions
	6:   "4 1 1",                 // SVDFOptions
	7:   "1 1",                   // RNNOptions
	8:   "1 1 1 1 1",             // FullyConnectedOptions
	9:   "4",                     // SoftmaxOptions
	10:  "4 1",                   // ConcatenationOptions
	11:  "1 1=1",                 // AddOptions
	12:  "1",                     // L2NormOptions
	13:  "4 4 4 4",               // LocalResponseNormalizationOptions
	14:  "1 4 4 1 1",             // LSTMOptions
	15:  "- - 1 1",               // ResizeBilinearOptions
	16:  "g",                     // CallOptions
	17:  "v4",                    // ReshapeOptions
	18:  "4 4 1",                 // SkipGramOptions
	19:  "4",                     // SpaceToDepthOptions
	20:  "1",                     // EmbeddingLookupSparseOptions
	21:  "1",                     // MulOptions
	22:  "",                      // PadOptions
	23:  "4 4",                   // GatherOptions
	24:  "",                      // BatchToSpaceNDOptions
	25:  "",                      // SpaceToBatchNDOptions
	26:  "",                      // TransposeOptions
	27:  "1",                     // ReducerOptions
	28:  "1 1=1",                 // SubOptions
	29:  "1",                     // DivOptions
	30:  "v4",                    // SqueezeOptions
	31:  "1 1 1",                 // SequenceRNNOptions
	32:  "4 4 4 4 4 1",           // StridedSliceOptions
	33:  "",                      // ExpOptions
	34:  "",                      // TopKV2Options
	35:  "4",                     // SplitOptions
	36:  "",                      // LogSoftmaxOptions
	37:  "1 1",                   // CastOptions
	38:  "",                      // DequantizeOptions
	39:  "",                      // MaximumMinimumOptions
	40:  "1",                     // ArgMaxOptions
	41:  "",                      // LessOptions
	42:  "",                      // NegOptions
	43:  "",                      // PadV2Options
	44:  "",                      // GreaterOptions
	45:  "",                      // GreaterEqualOptions
	46:  "",                      // LessEqualOptions
	47:  "",                      // SelectOptions
	48:  "",                      // SliceOptions
	49:  "1 4 4 1 1",             // TransposeConvOptions
	50:  "1",                     // SparseToDenseOptions
	51:  "",                      // TileOptions
	52:  "",                      // ExpandDimsOptions
	53:  "",                      // EqualOptions
	54:  "",                      // NotEqualOptions
	55:  "1",                     // ShapeOptions
	56:  "",                      // PowOptions
	57:  "1",                     // ArgMinOptions
	58:  "4 4 4 1",               // FakeQuantOptions
	59:  "4 4",                   // PackOptions
	60:  "",                      // LogicalOrOptions
	61:  "4",                     // OneHotOptions
	62:  "",                      // LogicalAndOptions
	63:  "",                      // LogicalNotOptions
	64:  "4 4",                   // UnpackOptions
	65:  "",                      // FloorDivOptions
	66:  "",                      // SquareOptions
	67:  "",                      // ZerosLikeOptions
	68:  "",                      // FillOptions
	69:  "1 4 4 1 1=1 1",         // BidirectionalSequenceLSTMOptions
	70:  "1 1 1 1",               // BidirectionalSequenceRNNOptions
	71:  "1 4 4 1 1 1",           // UnidirectionalSequenceLSTMOptions
	72:  "",                      // FloorModOptions
	73:  "",                      // RangeOptions
	74:  "1 1",                   // ResizeNearestNeighborOptions
	75:  "4",                     // LeakyReluOptions
	76:  "",                      // SquaredDifferenceOptions
	77:  "1",                     // MirrorPadOptions
	78:  "",                      // AbsOptions
	79:  "4",                     // SplitVOptions
	80:  "1=2",                   // UniqueOptions
	81:  "",                      // ReverseV2Options
	82:  "",                      // AddNOptions
	83:  "",                      // GatherNdOptions
	84:  "",                      // CosOptions
	85:  "",                      // WhereOptions
	86:  "",                      // RankOptions
	87:  "4 4",                   // ReverseSequenceOptions
	88:  "",                      // MatrixDiagOptions
	89:  "",                      // QuantizeOptions
	90:  "",                      // MatrixSetDiagOptions
	91:  "",                      // HardSwishOptions
	92:  "g g",                   // IfOptions
	93:  "g g",                   // WhileOptions
	94:  "4",                     // DepthToSpaceOptions
	95:  "",                      // NonMaxSuppressionV4Options
	96:  "",                      // NonMaxSuppressionV5Options
	97:  "",                      // ScatterNdOptions
	98:  "",                      // SelectV2Options
	99:  "",                      // DensifyOptions
	100: "",                      // SegmentSumOptions
	101: "1 1 1",                 // BatchMatMulOptions
	102: "1 1",                   // CumsumOptions
	103: "g",                     // CallOnceOptions
	104: "",                      // BroadcastToOptions
	105: "",                      // Rfft2dOptions
	106: "1 4 4 4 1 4=1 4=1 4=1", // Conv3DOptions
	107: "4 1 1",                 // HashtableOptions
	108: "",                      // HashtableFindOptions
	109: "",                      // HashtableImportOptions
	110: "",                      // HashtableSizeOptions
	111: "s s",                   // VarHandleOptions
	112: "",                      // ReadVariableOptions
	113: "",                      // AssignVariableOptions
	114: "8 8",                   // RandomOptions
	115: "v4",                    // BucketizeOptions
	116: "1",                     // GeluOptions
	117: "",                      // DynamicUpdateSliceOptions
	118: "",                      // UnsortedSegmentProdOptions
	119: "",                      // UnsortedSegmentMaxOptions
	120: "",                      // UnsortedSegmentMinOptions
	121: "",                      // UnsortedSegmentSumOptions
	122: "",                      // ATan2Options
	123: "",                      // SignOptions
	124: "",                      // BitcastOptions
	125: "",                      // BitwiseXorOptions
	126: "",                      // RightShiftOptions
}

// tfliteOptions2 are those in builtin_options_2.
var tfliteOptions2 = map[uint64]string{
	1:  "8",                                          // StablehloConcatenateOptions
	2:  "v8",                                         // StablehloBroadcastInDimOptions
	3:  "v8 v8 v8",                                   // StablehloSliceOptions
	4:  "v8 v8 v8 v8 v1 8 8 v8 8 8 v8 8 8 v8 8 8 v4", // StablehloConvolutionOptions
	5:  "s 1 s 4 vg v1",                              // StablehloCustomCallOptions
	6:  "v8 g",                                       // StablehloReduceOptions
	7:  "1 v8 v8 v8 8 1 g",                           // StablehloScatterOptions
	8:  "4 4",                                        // StablehloCompareOptions
	9:  "v8",                                         // StablehloDynamicSliceOptions
	10: "v8 v8 v8",                                   // StablehloPadOptions
	11: "8",                                          // StablehloIotaOptions
	12: "v8 v8 v8 v8 v4",                             // StablehloDotGeneralOptions
	13: "v8 v8 v8 v8 v8 g",                           // StablehloReduceWindowOptions
	14: "8 1 g",                                      // StablehloSortOptions
	15: "g g",                                        // StablehloWhileOptions
	16: "v8 v8 v8 8 v8 1",                            // StablehloGatherOptions
	17: "v8",                                         // StablehloTransposeOptions
	18: "",                                           // DilateOptions
	19: "1",                                          // StablehloRngBitGeneratorOptions
	20: "4",                                          // ReduceWindowOptions
	21: "s g v1 1 4",                                 // StableHLOCompositeOptions
	22: "",                                           // StablehloShiftLeftOptions
	23: "vg",                                         // StablehloCaseOptions
}
