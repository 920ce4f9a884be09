"""Makes the ONNX fixtures of this folder again.

    python make.py torch        with torch, onnx, onnxscript, onnxruntime
    python make.py tensorflow   with tensorflow, keras, tf2onnx

The versions are those of testdata/python/*.txt. Each fixture is one function
named like its file; files go beside this script, or to the folder given as the
second argument.
"""
import os
import pathlib
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

OUT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__)))


# --- torch ------------------------------------------------------------------

def torch_fixtures():
    import logging
    logging.disable(logging.WARNING)
    import onnx
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.onnx import TrainingMode

    torch.manual_seed(0)  # the first model's weights

    class CNN(nn.Module):
        """bn1 can be folded into conv1; bn2 follows a ReLU and cannot."""

        def __init__(self, track=True):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(2, track_running_stats=track)
            self.drop1 = nn.Dropout(0.25)
            self.conv2 = nn.Conv2d(2, 3, 3)
            self.bn2 = nn.BatchNorm2d(3, track_running_stats=track)
            self.drop2 = nn.Dropout(0.5)
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            x = self.drop1(torch.relu(self.bn1(self.conv1(x))))
            x = self.bn2(torch.relu(self.conv2(x)))
            x = self.drop2(x.mean((2, 3)))
            return self.fc(x)

    class FunctionalDropout(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(F.dropout(x, 0.3, training=True))

    class ChannelDropout(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.drop = nn.Dropout2d(0.4)

        def forward(self, x):
            return self.drop(self.conv(x))

    def trained(model):
        torch.manual_seed(0)
        opt = torch.optim.SGD(model.parameters(), lr=0.01)
        model.train()
        model(torch.randn(4, 1, 8, 8)).sum().backward()
        opt.step()
        return model

    def strip_paths(path):
        """Stack traces hold paths of the machine that made the file."""
        m = onnx.load(path, load_external_data=False)
        for nodes in [m.graph.node] + [f.node for f in m.functions]:
            for n in nodes:
                kept = [p for p in n.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
                del n.metadata_props[:]
                n.metadata_props.extend(kept)
        onnx.save(m, path)

    image = torch.zeros(1, 1, 8, 8)

    def script(name, model, opset, mode=TrainingMode.EVAL, fold=True, args=(image,), axes=True):
        torch.manual_seed(0)
        torch.onnx.export(model, args, OUT / f"{name}.onnx", dynamo=False, opset_version=opset,
                          training=mode, do_constant_folding=fold,
                          input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}} if axes else None)

    def dynamo(name, model, opset, args=(image,), **kw):
        torch.manual_seed(0)
        path = OUT / f"{name}.onnx"
        torch.onnx.export(model, args, path, dynamo=True, opset_version=opset, external_data=False,
                          input_names=["x"], output_names=["y"], verbose=False, **kw)
        strip_paths(path)

    for opset in (9, 11, 13, 17, 20):
        script(f"torchscript_eval_{opset}", trained(CNN()).eval(), opset)
    script("torchscript_eval_unfolded_17", trained(CNN()).eval(), 17, fold=False)
    for opset in (9, 12, 13, 14, 17, 20):
        script(f"torchscript_train_{opset}", trained(CNN()).train(), opset, TrainingMode.TRAINING, fold=False)
    script("torchscript_preserve_17", trained(CNN()).train(), 17, TrainingMode.PRESERVE, fold=False)
    script("torchscript_nostats_17", trained(CNN(track=False)).eval(), 17, axes=False)
    script("torchscript_functional_dropout_17", FunctionalDropout().eval(), 17, args=(torch.zeros(1, 4),))
    for opset in (18, 20):
        dynamo(f"dynamo_eval_{opset}", trained(CNN()).eval(), opset)
        dynamo(f"dynamo_train_{opset}", trained(CNN()).train(), opset)
    dynamo("dynamo_eval_unoptimized_20", trained(CNN()).eval(), 20, optimize=False)
    dynamo("dynamo_train_unoptimized_20", trained(CNN()).train(), 20, optimize=False)
    dynamo("dynamo_nostats_20", trained(CNN(track=False)).eval(), 20)
    dynamo("dynamo_channel_dropout_20", ChannelDropout().train(), 20)
    dynamo("dynamo_dynamic_20", FunctionalDropout().eval(), 20, args=(torch.zeros(2, 4),),
           dynamic_shapes=({0: torch.export.Dim("batch")},))

    import onnxruntime as ort
    for source, name, level in (("torchscript_train_17", "ort_train_17", "ORT_ENABLE_BASIC"),
                                ("torchscript_eval_unfolded_17", "ort_eval_17", "ORT_ENABLE_EXTENDED")):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.optimized_model_filepath = str(OUT / f"{name}.onnx")
        ort.InferenceSession(str(OUT / f"{source}.onnx"), options, providers=["CPUExecutionProvider"])

    helper_fixtures()


# --- onnx.helper ------------------------------------------------------------

def helper_fixtures():
    import numpy as np
    import onnx
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    FLOAT = T.FLOAT

    def const(name, value, dtype=np.float32):
        return numpy_helper.from_array(np.array(value, dtype), name)

    def value(name, *shape, dtype=FLOAT):
        return h.make_tensor_value_info(name, dtype, list(shape))

    def model(name, nodes, inputs=None, outputs=None, inits=(), opset=17, ir=8, domains=(), **kw):
        sparse = kw.pop("sparse", [])
        g = h.make_graph(nodes, name, inputs or [value("x", "N", 4)], outputs or [value("y", "N", 4)],
                         list(inits), sparse_initializer=sparse)
        imports = [h.make_opsetid("", opset)] + [h.make_opsetid(d, v) for d, v in domains]
        m = h.make_model(g, opset_imports=imports, ir_version=ir, producer_name="make.py", **kw)
        return m

    def save(name, m):
        (OUT / f"{name}.onnx").write_bytes(m.SerializeToString(deterministic=True))

    def one(name, nodes, **kw):
        save(name, model(name, nodes, **kw))

    node = h.make_node
    true, false = const("flag", True, np.bool_), const("flag", False, np.bool_)
    ratio = const("ratio", 0.4)
    drop3 = [node("Dropout", ["x", "ratio", "flag"], ["y"], "drop")]

    # Dropout, every signature that its versions had.
    one("dropout_22_true", drop3, inits=[ratio, true], opset=22, ir=10)
    one("dropout_13_false", drop3, inits=[ratio, false], opset=13)
    one("dropout_12_missing", [node("Dropout", ["x"], ["y"], "drop")], opset=12, ir=7)
    one("dropout_12_empty", [node("Dropout", ["x", "ratio", ""], ["y"], "drop")], inits=[ratio], opset=12, ir=7)
    one("dropout_17_default_ratio", [node("Dropout", ["x", "", "flag"], ["y"], "drop")], inits=[true])
    one("dropout_17_ratio_zero", drop3, inits=[const("ratio", 0.0), true])
    one("dropout_17_input", drop3, inputs=[value("x", "N", 4), value("flag", dtype=T.BOOL)], inits=[ratio])
    one("dropout_17_overridable", drop3, inputs=[value("x", "N", 4), value("flag", dtype=T.BOOL)],
        inits=[ratio, false])
    one("dropout_12_ir3", [node("Dropout", ["x", "ratio", "flag"], ["y"], "drop")], inits=[ratio, false], opset=12,
        ir=3, inputs=[value("x", "N", 4), value("ratio"), value("flag", dtype=T.BOOL)])
    one("dropout_17_computed", [
        node("ReduceMax", ["x"], ["max"], keepdims=0),
        node("Greater", ["max", "ratio"], ["flag"])] + drop3, inits=[ratio])
    one("dropout_17_cast_not", [
        node("Constant", [], ["zero"], value_int=0),
        node("Cast", ["zero"], ["no"], to=T.BOOL),
        node("Not", ["no"], ["yes"]),
        node("Identity", ["yes"], ["flag"])] + drop3, inits=[ratio])
    one("dropout_10", [node("Dropout", ["x"], ["y"], "drop", ratio=0.4)], opset=10, ir=5)
    one("dropout_10_mask", [node("Dropout", ["x"], ["y", "mask"], "drop", ratio=0.4)], opset=10, ir=5)
    one("dropout_6_default", [node("Dropout", ["x"], ["y"], "drop", ratio=0.4)], opset=6, ir=3)
    one("dropout_6_test", [node("Dropout", ["x"], ["y"], "drop", ratio=0.4, is_test=1)], opset=6, ir=3)
    one("dropout_1_default", [node("Dropout", ["x"], ["y"], "drop")], opset=1, ir=3)
    one("dropout_17_dead", [node("Relu", ["x"], ["y"]), node("Dropout", ["x", "ratio", "flag"], ["z"], "drop")],
        inits=[ratio, true])

    # Sub-graphs and functions.
    branch = h.make_graph([node("Dropout", ["x", "ratio", "flag"], ["then"], "drop")], "then", [],
                          [value("then", "N", 4)])
    other = h.make_graph([node("Identity", ["x"], ["else"])], "else", [], [value("else", "N", 4)])
    one("if_dropout_17", [node("If", ["cond"], ["y"], "choose", then_branch=branch, else_branch=other)],
        inputs=[value("x", "N", 4), value("cond", dtype=T.BOOL)], inits=[ratio, true])
    body = h.make_graph([
        node("Identity", ["keep_in"], ["keep"]),
        node("Dropout", ["acc_in", "ratio", "flag"], ["acc"], "drop")], "body",
        [value("i", dtype=T.INT64), value("keep_in", dtype=T.BOOL), value("acc_in", "N", 4)],
        [value("keep", dtype=T.BOOL), value("acc", "N", 4)], [const("ratio", 0.2)])
    one("loop_dropout_17", [node("Loop", ["n", "", "x"], ["y"], "again", body=body)],
        inits=[const("n", 3, np.int64), true])

    def function(name, nodes, ins=("x",), outs=("y",), attrs=(), domain="local", **kw):
        return h.make_function(domain, name, list(ins), list(outs), nodes, [h.make_opsetid("", 17)], list(attrs), **kw)

    def with_functions(name, nodes, functions, **kw):
        m = model(name, nodes, domains=[("local", 1)], **kw)
        m.functions.extend(functions)
        save(name, m)

    flagged = node("Constant", [], ["mode"])
    flagged.attribute.add(name="value_int", type=onnx.AttributeProto.INT, ref_attr_name="train")
    maybe = function("Maybe", [flagged, node("Cast", ["mode"], ["flag"], to=T.BOOL),
                               node("Dropout", ["x", "r", "flag"], ["y"], "drop")], ins=("x", "r"), attrs=("train",))
    call = lambda train: [node("Maybe", ["x", "ratio"], ["y"], "call", domain="local", train=train)]
    with_functions("function_attribute_true_17", call(1), [maybe], inits=[ratio])
    with_functions("function_attribute_false_17", call(0), [maybe], inits=[ratio])
    given = function("Given", [node("Dropout", ["x", "", "flag"], ["y"], "drop")], ins=("x", "flag"))
    with_functions("function_input_true_17", [node("Given", ["x", "flag"], ["y"], "call", domain="local")], [given],
                   inits=[true])
    outer = function("Outer", [node("Given", ["x", "flag"], ["y"], "inner", domain="local")], ins=("x", "flag"))
    outer.opset_import.append(h.make_opsetid("local", 1))
    with_functions("function_nested_17", [node("Outer", ["x", "flag"], ["y"], "call", domain="local")],
                   [outer, given], inits=[true])
    with_functions("function_uncalled_17", [node("Relu", ["x"], ["y"])], [maybe])

    # Dropout without a Dropout node.
    one("mask_rng_17", [
        node("RandomUniformLike", ["x"], ["u"], "rng"),
        node("GreaterOrEqual", ["u", "ratio"], ["keep"]),
        node("Cast", ["keep"], ["mask"], to=FLOAT),
        node("Mul", ["x", "mask"], ["y"], "apply")], inits=[ratio])
    one("mask_rng_where_17", [
        node("RandomUniform", [], ["u"], "rng", shape=[1, 4]),
        node("Less", ["u", "ratio"], ["drop"]),
        node("Where", ["drop", "zero", "x"], ["y"], "apply")], inits=[ratio, const("zero", 0.0)])
    one("mask_bernoulli_17", [
        node("Bernoulli", ["probability"], ["mask"], "rng"),
        node("Mul", ["x", "mask"], ["y"], "apply")], inits=[const("probability", [[0.5] * 4])])
    one("rng_noise_17", [
        node("RandomNormalLike", ["x"], ["noise"], "rng"),
        node("Add", ["x", "noise"], ["y"])])
    mask = np.zeros((1, 8, 8), np.float32)
    mask[0, ::2, 1::3] = 1
    image = [value("x", "N", 8, 8)], [value("y", "N", 8, 8)]
    one("mask_constant_17", [node("Mul", ["x", "mask"], ["y"], "apply")], inputs=image[0], outputs=image[1],
        inits=[const("mask", mask)])
    one("mask_not_binary_17", [node("Mul", ["x", "scale"], ["y"])], inputs=image[0], outputs=image[1],
        inits=[const("scale", np.arange(64).reshape(1, 8, 8))])
    one("ort_bias_dropout_17", [
        node("BiasDropout", ["x", "bias", "", "ratio", "flag"], ["y"], "drop", domain="com.microsoft")],
        inits=[const("bias", [0.0] * 4), ratio, true], domains=[("com.microsoft", 1)])

    # BatchNormalization, every signature that its versions had.
    stats = [const(n, [v] * 4) for n, v in (("scale", 1), ("bias", 0), ("mean", 0.5), ("var", 2))]
    bn = lambda outs=("y",), **kw: [node("BatchNormalization", ["x", "scale", "bias", "mean", "var"], list(outs),
                                         "bn", **kw)]
    one("bn_15_training", bn(("y", "m", "v"), training_mode=1), inits=stats, opset=17)
    one("bn_14_inference", bn(), inits=stats, opset=14)
    one("bn_15_three_outputs", bn(("y", "m", "v")), inits=stats, opset=17)
    one("bn_9_one_output", bn(), inits=stats, opset=9, ir=4)
    one("bn_9_five_outputs", bn(("y", "m", "v", "sm", "sv")), inits=stats, opset=9, ir=4)
    one("bn_9_empty_outputs", bn(("y", "", "", "", "")), inits=stats, opset=9, ir=4)
    listed = [value("x", "N", 4)] + [value(t.name, 4) for t in stats]
    one("bn_6_default", bn(), inits=stats, opset=6, ir=3,
        inputs=listed)
    one("bn_6_test", bn(is_test=1), inits=stats, opset=6, ir=3, inputs=listed)
    one("bn_1_test", bn(is_test=1, consumed_inputs=[0, 0, 0, 1, 1]), inits=stats, opset=1, ir=3, inputs=listed)
    one("bn_17_inputs", bn(), inits=stats[:2], inputs=[value("x", "N", 4), value("mean", 4), value("var", 4)])
    one("bn_17_computed", [
        node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=0),
        node("Sub", ["x", "mean"], ["d"]), node("Mul", ["d", "d"], ["dd"]),
        node("ReduceMean", ["dd"], ["var"], axes=[0], keepdims=0)] + bn(), inits=stats[:2])
    one("bn_17_constant_expression", [
        node("Constant", [], ["raw"], value_floats=[1.0, 1.0, 1.0, 1.0]),
        node("Mul", ["raw", "scale"], ["scaled"]), node("Identity", ["scaled"], ["var"])] + bn(),
        inits=stats[:3])
    moments = lambda axes: [
        node("ReduceMean", ["x", "axes"], ["m"], "mean", keepdims=1),
        node("Sub", ["x", "m"], ["d"]), node("Mul", ["d", "d"], ["dd"]),
        node("ReduceMean", ["dd", "axes"], ["v"], "variance", keepdims=1),
        node("Add", ["v", "eps"], ["ve"]), node("Sqrt", ["ve"], ["s"]), node("Div", ["d", "s"], ["y"])]
    for name, axes in (("batch_statistics_18", [0]), ("layer_statistics_18", [-1])):
        one(name, moments(axes), opset=18, inits=[const("axes", axes, np.int64), const("eps", 1e-5)])
    one("bn_instance_norm_17", [
        node("Reshape", ["x", "flat"], ["r"]),
        node("BatchNormalization", ["r", "scale", "bias", "mean", "var"], ["b", "m", "v"], "bn", training_mode=1),
        node("Reshape", ["b", "back"], ["y"])],
        inits=stats + [const("flat", [1, 4, -1], np.int64), const("back", [-1, 4], np.int64)])

    # Training state.
    def training(name, extra, lr, reg=(), grad="g", coefficient=0.0, inits=(), binding=True, inputs=()):
        forward = [node("Mul", ["x", "w"], ["y"])]
        m = model(name, forward, inits=[const("w", [1.0] * 4)], domains=[("ai.onnx.preview.training", 1)])
        algorithm = h.make_graph(
            list(reg) + [node("ReduceMean", ["y"], ["data_loss"], keepdims=0)] +
            ([] if reg else [node("Identity", ["data_loss"], ["loss"])]) +
            [node("Gradient", ["w"], ["g"], "gradient", domain="ai.onnx.preview.training", xs=["w"], y="loss")] +
            list(extra) +
            [node("Momentum", [lr, "t", "w", grad, "v"], ["w_new", "v_new"], "sgd",
                  domain="ai.onnx.preview.training", alpha=0.9, beta=1.0, mode="standard",
                  norm_coefficient=coefficient),
             node("Add", ["t", "one"], ["t_new"])],
            "algorithm", list(inputs), [value("loss"), value("w_new", 4), value("v_new", 4),
                                        value("t_new", dtype=T.INT64)],
            [const("t", 0, np.int64), const("one", 1, np.int64), const("v", [0.0] * 4)] + list(inits))
        h.set_model_props(m, {})
        info = h.make_training_info(algorithm, [("w", "w_new"), ("v", "v_new"), ("t", "t_new")], None, None)
        m.training_info.append(info)
        save(name, m)

    rate = const("lr", 0.1)
    training("training_info_plain_17", [], "lr", inits=[rate])
    training("training_info_lr_input_17", [], "lr", inputs=[value("lr")])
    training("training_info_schedule_17", [
        node("Cast", ["t"], ["tf"], to=FLOAT), node("Pow", ["decay", "tf"], ["factor"]),
        node("Mul", ["factor", "base"], ["lr"])], "lr", inits=[const("decay", 0.9), const("base", 0.1)])
    training("training_info_clip_norm_17", [
        node("ReduceL2", ["g"], ["norm"], keepdims=0), node("Div", ["limit", "norm"], ["f"]),
        node("Min", ["f", "unit"], ["f1"]), node("Mul", ["g", "f1"], ["clipped"])], "lr", grad="clipped",
        inits=[rate, const("limit", 1.0), const("unit", 1.0)])
    training("training_info_clip_value_17", [
        node("Clip", ["g", "low", "high"], ["clipped"])], "lr", grad="clipped",
        inits=[rate, const("low", -1.0), const("high", 1.0)])
    training("training_info_decay_17", [], "lr", coefficient=0.01, inits=[rate])
    training("training_info_l2_loss_17", [], "lr", reg=[
        node("Mul", ["w", "w"], ["ww"]), node("ReduceSum", ["ww"], ["sum"], keepdims=0),
        node("Mul", ["sum", "lambda"], ["penalty"])], inits=[rate, const("lambda", 1e-4)])
    m = onnx.load(OUT / "training_info_l2_loss_17.onnx")
    nodes = m.training_info[0].algorithm.node
    nodes.insert(4, node("Add", ["data_loss", "penalty"], ["loss"]))
    save("training_info_l2_loss_17", m)

    ms = [("com.microsoft", 1)]
    step = lambda op, ins, outs, **kw: node(op, ins, outs, op.lower(), domain="com.microsoft", **kw)
    one("ort_optimizer_17", [
        step("InplaceClipGradNorm", ["x"], ["clipped"], max_norm=1.0),
        step("AdamWOptimizer", ["lr", "step", "x", "clipped", "m1", "m2"], ["y", "p", "q", "r"], weight_decay=0.01)],
        inputs=[value("lr", 1), value("step", 1, dtype=T.INT64), value("x", "N", 4), value("m1", "N", 4),
                value("m2", "N", 4)], domains=ms)
    one("ort_gradient_17", [step("ReluGrad", ["x", "x"], ["y"])], domains=ms)
    one("loss_17", [node("SoftmaxCrossEntropyLoss", ["x", "label"], ["y"], "loss")],
        inputs=[value("x", "N", 4), value("label", "N", dtype=T.INT64)], outputs=[value("y")])

    # Facts.
    one("custom_domain_17", [node("Magic", ["x"], ["y"], "magic", domain="example.org")], domains=[("example.org", 1)])
    one("unknown_operator_17", [node("NoSuchOperator", ["x"], ["y"], "odd")])
    one("clip_activation_17", [node("Clip", ["x", "low"], ["y"])], inits=[const("low", 0.0)])
    values = const("sparse", [1.5, 2.5])
    indices = numpy_helper.from_array(np.array([0, 3], np.int64), "i")
    one("sparse_initializer_17", [node("Add", ["x", "sparse"], ["y"])],
        sparse=[h.make_sparse_tensor(values, indices, [4])])
    kinds = [value("half", 1, dtype=T.FLOAT16), value("brain", 1, dtype=T.BFLOAT16), value("words", dtype=T.STRING),
             value("bytes", 0, "A", dtype=T.UINT8), value("eight", dtype=T.FLOAT8E4M3FN),
             h.make_tensor_value_info("rankless", FLOAT, None), h.make_tensor_value_info("unnamed", FLOAT, [None, 3]),
             h.make_value_info("list", h.make_sequence_type_proto(h.make_tensor_type_proto(FLOAT, ["N"]))),
             h.make_value_info("maybe", h.make_optional_type_proto(h.make_tensor_type_proto(T.INT64, [2])))]
    one("types_19", [node("Relu", ["x"], ["y"])], opset=19, ir=9, inputs=[value("x", "N", 4)] + kinds)

    weight = const("w", np.arange(16).reshape(4, 4))

    def external(name, location, offset=0, length=64, data=None, **more):
        m = model(name, [node("MatMul", ["x", "w"], ["y"])], inits=[weight])
        t = m.graph.initializer[0]
        t.ClearField("raw_data")
        t.data_location = T.EXTERNAL
        for k, v in {"location": location, "offset": offset, "length": length, **more}.items():
            if v is not None:
                t.external_data.add(key=k, value=str(v))
        save(name, m)
        if data is not None:
            (OUT / location).write_bytes(data)

    external("external_17", "external_17.onnx.data", 16, 64, bytes(80))
    external("external_no_length_17", "external_17.onnx.data", None, None)
    external("external_short_17", "external_17.onnx.data", 32, 64)
    external("external_missing_17", "nowhere.bin")
    external("external_escape_17", "../../../go.mod")
    external("external_absolute_17", "/etc/hostname")


# --- tensorflow -------------------------------------------------------------

def tensorflow_fixtures():
    import logging
    logging.disable(logging.ERROR)
    import numpy as np
    import tensorflow as tf
    import keras
    import tf2onnx
    import onnx

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.Dropout(0.25, name="drop1")(keras.layers.ReLU()(x))
    x = keras.layers.Conv2D(3, 3, activation="relu", name="conv2")(x)
    x = keras.layers.BatchNormalization(name="bn2")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.5, name="drop2")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    model.compile("sgd", "mse")
    model.fit(np.random.rand(4, 8, 8, 1), np.zeros((4, 2)), verbose=0)
    signature = [tf.TensorSpec((1, 8, 8, 1), tf.float32, name="x")]

    def convert(name, call, opset):
        proto, _ = tf2onnx.convert.from_function(tf.function(call, input_signature=signature), signature, opset=opset)
        proto.graph.ClearField("doc_string")
        onnx.save(proto, OUT / f"{name}.onnx")

    for opset in (13, 17):
        convert(f"tf2onnx_eval_{opset}", lambda x: model(x, training=False), opset)
    convert("tf2onnx_train_17", lambda x: model(x, training=True), 17)
    convert("tf2onnx_dropout_17", lambda x: tf.nn.dropout(x, 0.3), 17)


if __name__ == "__main__":
    {"torch": torch_fixtures, "tensorflow": tensorflow_fixtures}[sys.argv[1]]()
