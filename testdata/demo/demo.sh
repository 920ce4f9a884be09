#!/bin/sh
# usage: demo.sh CACHE; convrun is on PATH. Works in CACHE/demo.
set -eu
cache=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$cache/demo"
cd "$cache/demo"
show() { printf '\n$ %s\n' "$*"; "$@"; }

show convrun run --model resnet18@1.0 -- "$cache/python/torch/bin/python" "$here/torch_export.py" resnet18.onnx
show convrun verify resnet18.onnx
show convrun report resnet18.onnx -o resnet18.html

"$cache/python/tensorflow/bin/python" "$here/keras_save.py" keras_model >keras_save.txt 2>&1
show convrun run --model keras_model@1.0 -- "$cache/python/tensorflow/bin/python" -m tf2onnx.convert --saved-model keras_model --opset 17 --output keras_model.onnx
show convrun verify keras_model.onnx
show convrun report keras_model.onnx -o keras_model.html

printf '\nThe reports: %s/resnet18.html, %s/keras_model.html\n' "$PWD" "$PWD"
