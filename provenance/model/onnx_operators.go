package model

import "strings"

// standard are ONNX's own operators, those of past versions included; what is
// not among them is of a version that is not known here, or no ONNX.
// https://onnx.ai/onnx/operators/, opset 28.
var standard = words(`
Abs Acos Acosh Add Affine AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow
Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant
ConstantFill ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh Crop CumProd CumSum DFT DeformConv DepthToSpace
DequantizeLinear Det Div Dropout DynamicQuantizeLinear DynamicSlice Einsum Elu Equal Erf Exp Expand EyeLike Flatten
Floor GRU GRUUnit Gather GatherElements GatherND Gelu Gemm GivenTensorFill GlobalAveragePool GlobalLpPool
GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
Hardmax Identity If ImageDecoder ImageScaler InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu
Less LessOrEqual LinearAttention Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool
MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg
NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or
PRelu Pad ParametricSoftplus Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal
RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize
ReverseSequence RoiAlign RotaryEmbedding Round STFT Scale ScaledTanh Scan Scatter ScatterElements ScatterND Selu
SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink
Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split
SplitToSequence Sqrt Squeeze StringConcat StringNormalizer StringSplit Sub Sum SwiGLU Swish Tan Tanh TensorScatter
TfIdfVectorizer ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor`)

// knownDomains are operator sets whose operators, as far as they bear on a
// verdict, are known by name: ONNX's other sets and ONNX Runtime's.
// org.pytorch.aten is not among them: its one operator is any of PyTorch's.
var knownDomains = words(`ai.onnx.ml ai.onnx.preview ai.onnx.preview.training ai.onnx.training
com.microsoft com.microsoft.nchwc com.microsoft.experimental com.ms.internal.nhwc`)

func words(text string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(text) {
		set[word] = true
	}
	return set
}

// known tells whether what the node does is known well enough to say that
// something is absent.
func known(n *node) bool {
	if n.domain == "" {
		return standard[n.op] || n.op == entered
	}
	return knownDomains[n.domain] && !opaque[n.op]
}

// opaque are ONNX Runtime's operators that hold a compiled graph or call back
// into a program.
var opaque = words(`ATen EPContext PythonOp PythonOpGrad`)

// role is what a training-only operator is for.
type role int

const (
	noRole role = iota
	gradient
	optimizer
	clipping
	otherTraining // accumulators, loss scaling
)

// trainingRole tells what a node is to training. ONNX Runtime's operators are
// told by name: its training operator set has several dozen gradients, all of
// which have "Grad" in it.
func trainingRole(n *node) role {
	switch n.domain {
	case "ai.onnx.preview.training", "ai.onnx.training":
		switch n.op {
		case "Gradient":
			return gradient
		case "Adagrad", "Adam", "Momentum":
			return optimizer
		}
		return otherTraining
	case "com.microsoft":
		switch {
		case strings.Contains(n.op, "ClipGradNorm"):
			return clipping
		case strings.Contains(n.op, "Optimizer"):
			return optimizer
		case strings.Contains(n.op, "Gradient"), strings.Contains(n.op, "Accumulator"),
			n.op == "MixedPrecisionScale", n.op == "IsAllFinite", n.op == "ReduceAllL2":
			return otherTraining
		case strings.Contains(n.op, "Grad"):
			return gradient
		}
	}
	return noRole
}
