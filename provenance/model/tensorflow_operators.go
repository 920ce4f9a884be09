package model

import "strings"

// tensorFlowActions says what the operators of TensorFlow do, as far as a rule
// asks for it, https://www.tensorflow.org/api_docs/python/tf/raw_ops. TFLite's
// operators are looked up here too, under the names of tfliteNames.
var tensorFlowActions = actionTable(map[action]string{
	doesPass: `Identity IdentityN Cast Reshape Squeeze ExpandDims Transpose BroadcastTo StopGradient PreventGradient
		Snapshot CheckNumerics EnsureShape Enter Exit NextIteration Bitcast Dequantize Quantize`,
	doesDraw: `RandomUniform RandomUniformInt RandomStandardNormal TruncatedNormal ParameterizedTruncatedNormal Multinomial
		StatelessRandomUniform StatelessRandomUniformV2 StatelessRandomNormal StatelessRandomNormalV2 StatelessTruncatedNormal
		StatelessTruncatedNormalV2 StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformFullInt
		StatelessRandomUniformFullIntV2 StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial
		StatelessRandomPoisson StatelessRandomGammaV2 StatelessRandomGammaV3 StatefulUniform StatefulUniformInt
		StatefulUniformFullInt StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulRandomBinomial
		RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle StatelessShuffle RandomCrop RngBitGenerator`,
	doesCompare: `Less LessEqual Greater GreaterEqual Equal NotEqual Floor Ceil`,
	doesShapeMask: `Less LessEqual Greater GreaterEqual Equal NotEqual Floor Ceil LogicalNot LogicalAnd LogicalOr Add AddV2 Sub
		Mul Div RealDiv DivNoNan Select SelectV2 Cast RightShift BitwiseXor Minimum Maximum`,
	doesApply:  `Mul Select SelectV2 MulNoNan`,
	doesReduce: `Mean Sum`,
	doesRoot:   `Sqrt Rsqrt`,
	doesScale: `Add AddV2 Sub Mul Div RealDiv DivNoNan Maximum Minimum Abs Relu SquaredDifference Square AddN Pack
		Identity Cast Select SelectV2 Mean Sum`,
	doesSquare: `Square Abs SquaredDifference`,
	doesLimit:  `Minimum Maximum`,
	doesNorm:   `L2Loss EuclideanNorm`,
	doesWeigh: `Conv2D DepthwiseConv2dNative Conv3D Conv2DBackpropInput Conv3DTranspose MatMul BatchMatMul BatchMatMulV2 BiasAdd
		Mul Add AddV2 Sub _FusedConv2D _FusedMatMul`,
	doesHandle:    `VarHandleOp Variable VariableV2 AutoReloadVariable`,
	doesRead:      `ReadVariableOp ResourceGather ResourceGatherNd`,
	doesAssign:    `Assign AssignAdd AssignSub AssignVariableOp AssignAddVariableOp AssignSubVariableOp`,
	doesNormalize: `FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 _FusedBatchNormEx BatchNormWithGlobalNormalization`,
	doesDifferentiate: `SymbolicGradient Conv2DBackpropFilter Conv2DBackpropFilterV2 Conv3DBackpropFilter Conv3DBackpropFilterV2
		DepthwiseConv2dNativeBackpropFilter`,
	doesReshape: `Reshape`,
	doesSwitch:  `Switch RefSwitch`,
	doesMerge:   `Merge RefMerge`,
	keepsRank: `Identity Cast StopGradient PreventGradient Snapshot CheckNumerics Add AddV2 Sub Mul Div RealDiv DivNoNan Maximum Minimum
		Pow Square SquaredDifference Sqrt Rsqrt Abs Neg Exp Log Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softplus Softsign Softmax
		BiasAdd MatMul Conv2D DepthwiseConv2dNative Conv3D AvgPool MaxPool Select SelectV2 Less LessEqual Greater GreaterEqual
		Switch Merge`,
	doesLoad: `Restore RestoreV2 RestoreSlice`,
})

// actionTable turns lists of names by action into actions by name.
func actionTable(rows map[action]string) map[string]action {
	table := map[string]action{}
	for does, names := range rows {
		for name := range words(names) {
			table[name] |= does
		}
	}
	return table
}

// actionOf is what a TensorFlow operator does. Gradients and optimizers are
// told by name: TensorFlow has several dozen of each. Conv2DBackpropInput is
// also how a transposed convolution is written, and so is no proof.
func actionOf(op string) action {
	does := tensorFlowActions[op]
	switch {
	case !tensorFlowNames[op] && !tensorFlowInternal[op] && !strings.HasPrefix(op, "_Fused"):
		return does | isOpaque
	case strings.HasPrefix(op, "ResourceApply"), strings.HasPrefix(op, "ResourceSparseApply"),
		strings.HasPrefix(op, "Apply"), strings.HasPrefix(op, "SparseApply"):
		return does | doesOptimize
	case strings.HasSuffix(op, "Grad"), strings.HasSuffix(op, "GradV2"), strings.HasSuffix(op, "GradV3"), strings.HasSuffix(op, "GradGrad"):
		return does | doesDifferentiate
	}
	return does
}

// gradientScopes stand in the names of what TensorFlow makes for gradients.
var gradientScopes = []string{"gradient_tape/", "gradients/"}

// tensorFlowInternal are operators that TensorFlow's graphs hold without being
// in its public list.
var tensorFlowInternal = words(`_Arg _Retval _HostCast _DeviceArg _DeviceRetval _ListToArray _ArrayToList SymbolicGradient RngBitGenerator
	AutoReloadVariable Quantize Conv3DTranspose`)

// optimizerInputs are the positions of the learning rate and the gradient
// among an optimizer's inputs, api_docs/python/tf/raw_ops/ResourceApply….
var optimizerInputs = map[string]struct{ rate, grad int }{
	"GradientDescent":         {1, 2},
	"Momentum":                {2, 3},
	"KerasMomentum":           {2, 3},
	"Adagrad":                 {2, 3},
	"AdagradV2":               {2, 4},
	"Adam":                    {5, 9},
	"AdamWithAmsgrad":         {6, 10},
	"AdaMax":                  {4, 8},
	"Adadelta":                {3, 6},
	"RMSProp":                 {3, 7},
	"CenteredRMSProp":         {4, 8},
	"Ftrl":                    {4, 3},
	"FtrlV2":                  {4, 3},
	"ProximalAdagrad":         {2, 5},
	"ProximalGradientDescent": {1, 4},
}

// optimizerOf gives the positions for an operator such as ResourceApplyAdam;
// of others the gradient is not known.
func optimizerOf(op string) (rate, grad int) {
	for _, prefix := range []string{"ResourceApply", "Apply", "ResourceSparseApply", "SparseApply"} {
		if name, ok := strings.CutPrefix(op, prefix); ok {
			at := optimizerInputs[name]
			return at.rate, at.grad
		}
	}
	return 0, 0
}
