package runner

import (
	"slices"
	"strings"
)

// allowedVariables may be recorded with their values: they change what a
// conversion computes or where it looks, and hold no secrets by nature.
var allowedVariables = []string{
	"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "TZ", "SOURCE_DATE_EPOCH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV",
	"LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
	"HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "TRANSFORMERS_OFFLINE", "KERAS_BACKEND", "KERAS_HOME",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE",
	"HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "XLA_FLAGS", "CI",
}

// allowedPrefixes name families of such variables.
// "TF_" alone is also Terraform's, whose TF_VAR_… hold secrets.
var allowedPrefixes = []string{"PYTHON", "TF_CPP_", "TF_CUDNN_", "TF_DETERMINISTIC_", "TF_DISABLE_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_USE_", "TF_XLA_", "TF2_", "TORCH_", "PYTORCH_", "ONNX_", "ORT_", "ONEDNN_", "DNNL_", "KMP_", "MKL_", "OPENVINO_"}

// secretWords mark a name whose value is never recorded.
var secretWords = []string{"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "COOKIE", "AUTH"}

// variables sorts the environment block into what may be recorded and the
// names of the rest. Of a name that stands twice the first is taken, as
// getenv(3) does.
func variables(environ []string, redact *Redactor) (allowed map[string]string, withheld []string) {
	allowed = map[string]string{}
	seen := map[string]bool{}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" || seen[name] {
			continue
		}
		seen[name] = true
		if mayRecord(name) {
			allowed[name] = redact.Text(value)
		} else {
			withheld = append(withheld, redact.Text(name))
		}
	}
	slices.Sort(withheld)
	return allowed, withheld
}

func mayRecord(name string) bool {
	return !isSecretName(name) && (slices.Contains(allowedVariables, name) ||
		slices.ContainsFunc(allowedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }))
}

func isSecretName(name string) bool {
	upper := strings.ToUpper(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(upper, word) })
}
