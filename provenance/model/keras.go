package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxKerasConfig bounds a configuration in JSON, in bytes; one takes several
// times as much memory when it is read.
const maxKerasConfig = 4 << 20

// kerasReader judges a model by the configuration that Keras stores with it:
// its layers, and how it was compiled.
// https://keras.io/guides/serialization_and_saving/
type kerasReader struct {
	*ledger
	layers    map[string]int // by class
	optimizer bool           // an optimizer's variables are stored
	compiled  bool           // how the model was compiled is stored
	// penalized is set when a weight regularizer was seen, opaque when a class
	// that is not Keras's own was.
	penalized, opaque bool
}

func newKerasReader(l *ledger) *kerasReader {
	return &kerasReader{ledger: l, layers: map[string]int{}}
}

// kerasLayers are the classes of Keras's own layers and models, those of Keras
// 2 included, https://keras.io/api/layers/.
var kerasLayers = words(`
Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
AveragePooling2D AveragePooling3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop
Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D Discretization Dot
Dropout ELU EinsumDense Embedding Equalization Flatten Functional GELU GRU GRUCell GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
GlobalMaxPooling3D GroupNormalization GroupQueryAttention HashedCrossing Hashing Identity InputLayer IntegerLookup LSTM
LSTMCell LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D
MaxPooling3D Maximum MelSpectrogram Minimum MixUp Model MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
Sequential SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
SpectralNormalization StackedRNNCells StringLookup Subtract SyncBatchNormalization TextVectorization ThresholdedReLU
TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D
TFOpLambda SlicingOpLambda TensorFlowOpLayer InstanceMethod ClassMethod`)

// kerasOperations are the classes of what keras.ops does to a symbolic value,
// which stand among the layers of a model; those that call a function of the
// program, such as Map, are left out, and none of the others draws random
// numbers. From Keras 3.12.
var kerasOperations = words(`
Abs Absolute Add AffineTransform All Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2
Arctanh Argmax Argmin Argpartition Argsort Array Average AveragePool Bartlett BatchNorm BinaryCrossentropy Bincount
BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor Blackman BroadcastTo
CTCDecode CTCLoss Cast CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip Concatenate Conj Conjugate
Conv ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum
Deg2rad DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot DotProductAttention Eig Eigh
Einsum ElasticTransform Elu Equal Erf Erfinv Exp Exp2 ExpandDims Expm1 ExtractPatches ExtractPatches3D
ExtractSequences FFT FFT2 Flip Floor FloorDivide Full FullLike GaussianBlur Gcd Gelu GetItem Glu Greater GreaterEqual
HSVToRGB Hamming Hanning HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hstack Hypot IFFT2 IRFFT ISTFT
Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal JVP Kaiser Kron LayerNorm Lcm
LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet
LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor MapCoordinates Matmul Max MaxPool Maximum
Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum Ndim Negative Nonzero Norm Normalize
NotEqual OneHot OnesLike Outer PSNR Pad PadImages PerspectiveTransform Polar Power Prod Qr Quantile RFFT
RGBToGrayscale RGBToHSV RMSNorm Ravel Real Rearrange Reciprocal Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90
Round Rsqrt STFT SVD SaturateCast ScaleAndTranslate Scatter ScatterUpdate SearchSorted SegmentMax SegmentReduction
SegmentSum Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinh Size Slice SliceUpdate Slogdet SoftShrink
Softmax Softplus Softsign Solve SolveTriangular Sort SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax
Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold UnravelIndex
Unstack Var Vdot View ViewAsComplex ViewAsReal Vstack Where ZerosLike`)

// kerasOpaque are layers of Keras that run what is not described in the
// configuration.
var kerasOpaque = words(`Lambda TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer`)

// kerasDropout are the layers that drop or disturb values while a model is
// trained, with the setting that says how much.
var kerasDropout = map[string]string{
	"Dropout": "rate", "SpatialDropout1D": "rate", "SpatialDropout2D": "rate", "SpatialDropout3D": "rate",
	"AlphaDropout": "rate", "GaussianDropout": "rate", "GaussianNoise": "stddev",
}

var kerasBatchNorm = words(`BatchNormalization BatchNormalizationV1 BatchNormalizationV2 SyncBatchNormalization`)

// object takes an object of keras_metadata.pb.
func (k *kerasReader) object(path, identifier, metadata string) error {
	if identifier == "_tf_keras_metric" || identifier == "_tf_keras_rnn_layer_metric" {
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(metadata), &object); err != nil {
		return fmt.Errorf("keras_metadata.pb: configuration of %s: %w", quote(path), err)
	}
	if path == "root" { // its configuration has all layers, which follow as objects of their own
		if training, ok := object["training_config"].(map[string]any); ok {
			k.compile(training["optimizer_config"])
		}
		delete(object, "model_config") // the same once more
		k.layer(object, 0)
	} else if k.opaque { // a class of the program's own does not list its layers
		k.layer(object, 0)
	}
	return nil
}

// layer judges an object of Keras and all within it. An object is a class_name
// and a config; the layers of a model stand in its config.
func (k *kerasReader) layer(object map[string]any, depth int) {
	class, _ := object["class_name"].(string)
	config, _ := object["config"].(map[string]any)
	if class != "" && config != nil {
		k.judge(object, class, config)
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if key != "compile_config" && key != "training_config" && key != "build_config" && key != "inbound_nodes" {
			k.within(object[key], depth+1)
		}
	}
}

func (k *kerasReader) within(value any, depth int) {
	if depth > maxDepth {
		k.unread("objects are nested too deep")
		return
	}
	switch v := value.(type) {
	case map[string]any:
		k.layer(v, depth)
	case []any:
		for _, element := range v {
			k.within(element, depth+1)
		}
	}
}

// unread makes unknown what a class that is not Keras's could hold.
func (k *kerasReader) unread(why string) {
	k.opaque = true
	k.find(KerasCustomClass, "", why)
	for _, op := range []Operation{Dropout, BatchNormalization, WeightRegularization} {
		k.hit(op, Unknown, None, "unknown: %s", why)
	}
}

func (k *kerasReader) judge(object map[string]any, class string, config map[string]any) {
	name, _ := config["name"].(string)
	what := shown(class) + " " + quote(name)
	isLayer := kerasLayers[class] || kerasOperations[class] && isNode(object)
	switch {
	case isLayer:
		k.layers[class]++
	case kerasOpaque[class]:
		k.layers[class]++
		k.unread("what " + what + " does: it runs another program's function or model")
	case isNode(object), isCustom(object, class):
		k.layers[class]++
		k.unread("what " + what + " does: it is no class of Keras")
	}
	forced := isLayer && trainsAlways(object["inbound_nodes"], 0)
	if rate := kerasDropout[class]; rate != "" && truthy(config[rate]) {
		k.stored(Dropout, forced, fmt.Sprintf("%s: %s %v", what, rate, config[rate]))
	}
	for _, rate := range []string{"dropout", "recurrent_dropout"} {
		if isLayer && truthy(config[rate]) {
			k.stored(Dropout, forced, fmt.Sprintf("%s: %s %v", what, rate, config[rate]))
		}
	}
	if kerasBatchNorm[class] {
		k.stored(BatchNormalization, forced, what)
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		// A regularizer of activities is none of weights.
		if strings.HasSuffix(key, "_regularizer") && key != "activity_regularizer" && config[key] != nil {
			k.penalized = true
			k.hit(WeightRegularization, Present, Training, "%s: %s is %s", what, shown(key), described(config[key]))
		}
	}
}

// stored records a layer that acts when the model is called for training, which
// forced says it always is.
func (k *kerasReader) stored(op Operation, forced bool, text string) {
	if forced {
		k.hit(op, Present, Training, "%s: called with training=True", text)
		return
	}
	k.hit(op, Present, Latent, "%s: a layer, which acts as in training only when it is called so", text)
}

// isCustom tells a class of the program that made the model from one of
// Keras's: Keras 3 states the module, Keras 2 a package before the class.
func isCustom(object map[string]any, class string) bool {
	module, stated := object["module"]
	path, _ := module.(string)
	return strings.Contains(class, ">") || stated && path != "keras" && path != "builtins" && !strings.HasPrefix(path, "keras.")
}

// isNode tells an object that is a layer or an operation of a model from an
// initializer or the like: it has a list of nodes, or a name and a setting of
// whether it is trained.
func isNode(object map[string]any) bool {
	_, nodes := object["inbound_nodes"]
	config, _ := object["config"].(map[string]any)
	_, named := config["name"].(string)
	_, trainable := config["trainable"]
	return nodes || named && trainable
}

// trainsAlways looks in a layer's calls for the argument training=True.
func trainsAlways(value any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch v := value.(type) {
	case map[string]any:
		if v["training"] == true {
			return true
		}
		for _, inner := range v {
			if trainsAlways(inner, depth+1) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return trainsAlways(inner, depth+1) })
	}
	return false
}

// truthy tells whether a setting is given and not zero.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case float64:
		return v != 0
	case bool:
		return v
	}
	return true
}

// described shows a setting: a value, or the class of an object.
func described(v any) string {
	if object, ok := v.(map[string]any); ok {
		class, _ := object["class_name"].(string)
		return shown(class)
	}
	return shown(fmt.Sprint(v))
}

// compile judges the optimizer that a model was compiled with, in its
// configuration or by its name.
func (k *kerasReader) compile(optimizer any) {
	if optimizer == nil {
		return
	}
	k.compiled = true
	object, ok := optimizer.(map[string]any)
	if !ok {
		object = map[string]any{"class_name": fmt.Sprint(optimizer)}
	}
	config, _ := object["config"].(map[string]any)
	if inner, ok := config["inner_optimizer"].(map[string]any); ok { // LossScaleOptimizer
		object = inner
		config, _ = object["config"].(map[string]any)
	}
	what := "optimizer " + described(object)
	custom := ok && isCustomOptimizer(object)
	set := func(op Operation, keys ...string) (found bool) {
		for _, key := range keys {
			if truthy(config[key]) {
				found = true
				k.hit(op, Present, Training, "%s: %s is %s", what, key, described(config[key]))
			}
		}
		return found
	}
	absent := func(op Operation, format string, arguments ...any) {
		if custom {
			k.hit(op, Unknown, None, "unknown: what %s does: it is no class of Keras", what)
			return
		}
		k.hit(op, Absent, None, format, arguments...)
	}
	if !set(GradientClipping, "clipnorm", "clipvalue", "global_clipnorm") {
		absent(GradientClipping, "%s: neither clipnorm, clipvalue nor global_clipnorm is set", what)
	}
	k.rate(what, config, absent)
	if set(WeightRegularization, "weight_decay") {
		k.penalized = true
	} else {
		absent(WeightRegularization, "%s: no weight_decay is set", what)
	}
}

func (k *kerasReader) rate(what string, config map[string]any, absent func(Operation, string, ...any)) {
	rate := config["learning_rate"]
	if rate == nil {
		rate = config["lr"]
	}
	switch object, ok := rate.(map[string]any); {
	case ok:
		k.hit(LearningRateScheduling, Present, Training, "%s: its learning rate is %s", what, described(object))
	case truthy(config["decay"]):
		k.hit(LearningRateScheduling, Present, Training, "%s: its learning rate decays by %s", what, described(config["decay"]))
	case rate == nil:
		absent(LearningRateScheduling, "%s: no learning rate is set", what)
	default:
		absent(LearningRateScheduling, "%s: its learning rate is %s; a callback that changed it would not be stored", what, described(rate))
	}
}

// isCustomOptimizer tells an optimizer of the program's own from Keras's.
func isCustomOptimizer(object map[string]any) bool {
	class, _ := object["class_name"].(string)
	if module, ok := object["module"].(string); ok {
		return !strings.HasPrefix(module, "keras")
	}
	_, stated := object["module"]
	return stated || strings.Contains(strings.TrimPrefix(class, "Custom>"), ">") || !kerasOptimizers[class]
}

// kerasOptimizers are Keras's own, https://keras.io/api/optimizers/; Keras 2
// wrote newer ones with "Custom>" before their names.
var kerasOptimizers = words(`SGD RMSprop Adam AdamW Adadelta Adagrad Adamax Adafactor Nadam Ftrl Lion Lamb Muon LossScaleOptimizer
Custom>SGD Custom>RMSprop Custom>Adam Custom>AdamW Custom>Adadelta Custom>Adagrad Custom>Adamax Custom>Adafactor Custom>Nadam Custom>Ftrl Custom>Lion
sgd rmsprop adam adamw adadelta adagrad adamax adafactor nadam ftrl lion lamb muon`)

// close adds what was not there to what was.
func (k *kerasReader) close() {
	n := 0
	for _, count := range k.layers {
		n += count
	}
	k.hit(Dropout, Absent, None, "layers looked at: %d; none drops values", n)
	k.hit(BatchNormalization, Absent, None, "layers looked at: %d; none normalizes a batch", n)
	if !k.penalized {
		k.hit(WeightRegularization, Absent, None, "layers looked at: %d; none has a regularizer of weights", n)
	}
	switch {
	case k.compiled:
	case k.optimizer:
		for _, op := range stateOperations {
			k.hit(op, Unknown, None, "unknown: an optimizer's state is stored, and how it was set is not")
		}
	default:
		for _, op := range stateOperations {
			k.hit(op, Absent, None, "neither an optimizer nor its state is stored")
		}
	}
	if k.optimizer {
		k.find(OptimizerStored, "", "")
	}
}
