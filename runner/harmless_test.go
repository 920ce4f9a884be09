package runner

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// harmless are texts that look more like secrets than most, and are none.
var harmless = []string{
	// Command lines of converters.
	"python -m tf2onnx.convert --saved-model /data/Models_v2/EfficientNetB0 --output eff.onnx --opset 17 --inputs input_1:0[1,224,224,3] --tag serve --signature_def serving_default",
	"optimum-cli export onnx --model sentence-transformers/all-MiniLM-L6-v2 --task feature-extraction --optimize O3 onnx/",
	"optimum-cli export openvino --model meta-llama/Llama-3.2-1B-Instruct --weight-format int4 --sym --ratio 0.8 out",
	"ovc model.onnx --output_model ir/ResNet50V2_Fp16.xml --compress_to_fp16 True --input [1,3,224,224]",
	"trtexec --onnx=YOLOv8n_640x640.onnx --saveEngine=YOLOv8n_RTX3090Ti.engine --fp16 --memPoolSize=workspace:4096M --timingCacheFile=t.cache",
	"paddle2onnx --model_dir PPLCNet_x1_0_infer --model_filename inference.pdmodel --params_filename inference.pdiparams --save_file m.onnx",
	"llama-quantize Meta-Llama-3-8B-Instruct-F16.gguf Meta-Llama-3-8B-Instruct-Q4_K_M.gguf Q4_K_M 8",
	"python convert_hf_to_gguf.py --outtype q8_0 --outfile m.gguf ./TinyLlama-1.1B-Chat-v1.0 --pad-token-id 0 --max-tokens 128",
	"mnnconvert -f ONNX --modelFile MobileNetV3_Large_x1_0.onnx --MNNModel m.mnn --bizCode MNN",
	"onnxsim --overwrite-input-shape input_ids:1,128 attention_mask:1,128 token_type_ids:1,128 bert.onnx bert_sim.onnx",
	"docker run --rm -u 1000:1000 -v /home/ada/models:/models ghcr.io/acme/convert@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"pip install --require-hashes -r requirements.txt --extra-index-url https://download.pytorch.org/whl/cu126",
	"cp -p a.onnx b.onnx", "mkdir -p -m 700 out", "ssh -p 2222 git@host.example.org", "tar -xpf model.tar",
	// Digests and identifiers.
	"5f0c3a71-8f3e-4a9b-9d8e-0a1b2c3d4e5f", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "e147cee6b7e8809340102639d398ab195cb2966bc5f", "d41d8cd98f00b204e9800998ecf8427e",
	"sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDIQ7xQ1yTmDdXhVcU", "integrity sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC",
	"https://github.com/NVIDIA/apex/commit/d5e2bb4bdeedd27b1dfaf5bb2b24d6c000dee9be#diff-cf86c282ff7fba81fad27a559379d5bf",
	"/home/ada/.cache/huggingface/hub/models--bert-base-uncased/snapshots/86b5e0934494bd15c9632b12f734a8a67f723594/model.safetensors",
	"pkg:pypi/torch@2.15.0?checksum=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	// Names in code and in models.
	"ORTModelForSpeechSeq2Seq", "GetRootAsConv2DOptions", "DummySeq2SeqPastKeyValuesGenerator", "_ZN2at4_ops10layer_norm4callERKNS_6TensorEN3c108ArrayRefINS5_6SymIntEEE",
	"StatefulPartitionedCall/EfficientNetB0/block6a_expand_bn/FusedBatchNormV3", "eva02_L_pt_m38m_medft_in21k_ft_in1k_p14", "torch.ao.nn.intrinsic.qat.modules.conv_fused.ConvBnReLU2d",
	"/model/encoder/layer.0/attention/self/MatMul_1_output_0", "vit.class_token: float32[1, 1, 768]", "roberta.embeddings.token_type_embeddings.weight", "pad_token: '<pad>'", "mask_token=[MASK]",
	"tokenizer.special_tokens_map = {'eos_token': '</s>'}", "Pass: absent, not-representable", "ph, pw = patch_size, patch_size", "running_token: jnp.ndarray", "'token': 2166, 'token_str': 'life'",
	"token: bool | str | None = None", "def login(token=None, password: str = ''):", "password = getpass.getpass()", "token = os.environ['HF_TOKEN']", "api_key=args.api_key", "os.environ.get('WANDB_API_KEY')", "key = lambda x: x.name", "sorted(d, key=len)",
	"usage: x [--token TOKEN] [--password PASSWORD]", "error: argument --token: expected one argument", "the option --password is required", `parser.add_argument("--token", "-t", help="of the hub")`, "If `token=True`, it is read from disk",
	`re.sub(r"https://.*@", "https://", url)`, `f"https://{user}:{password}@{host}/"`, "https://$USER:$TOKEN@example.org", "https://example.org:8080/a@b", "ssh://git@example.org/a.git",
	// Base64 that is no secret.
	`ICON = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="`, `base64.b64decode("SGVsbG8sIFdvcmxkISBUaGlzIGlzIGZpbmUu")`, "package_id=UGFja2FnZS01NzA4OTExNg",
	"CERT = '''\nMIIH3jCCBcagAwIBAgIJAJi7AjQ4Z87OMA0GCSqGSIb3DQEBCwUAMIHBMRcwFQYD\nVQQKFA52YWxlcm9uLm5vX2lzcDEeMBwGA1UECxMVQ2VydGlmaWNhdGUgQXV0aG9y\n'''",
}

func TestHarmlessTextStays(t *testing.T) {
	for _, text := range harmless {
		if got := clean(text, nil); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestHarmlessFilesStay reads what people and packages have written: the
// project's own scripts and pages, and the lists of files, with digests, of the
// packages of a real environment.
func TestHarmlessFilesStay(t *testing.T) {
	total := 0
	for _, pattern := range []string{"../testdata/demo/*", "../testdata/model/*/*.py", "../testdata/probe/*.c", "../testdata/python/*.*", "../docs/*.md", "../docs/adr/*.md", "../docs/cli/*.md", "../*.md", "../runner/python/*.py"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, path := range paths {
			total += staysAsItIs(t, path)
		}
	}
	if total < 200_000 {
		t.Errorf("only %d bytes were read", total)
	}
	packages := "../.cache/python/torch/lib"
	if _, err := os.Stat(packages); err != nil {
		if os.Getenv("CONVRUN_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	records := 0
	err := filepath.WalkDir(packages, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == "RECORD" {
			records++
			staysAsItIs(t, path)
		}
		return err
	})
	if err != nil || records < 10 {
		t.Errorf("%d packages: %v", records, err)
	}
}

// staysAsItIs tells how many bytes of a file the redactor has left alone.
func staysAsItIs(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r Redactor
	wrong := 0
	for line := range strings.Lines(string(data)) {
		if got := r.Text(line); got != line {
			if wrong++; wrong < 5 {
				t.Errorf("%s: %q became %q", path, line, got)
			}
		}
	}
	return len(data)
}
