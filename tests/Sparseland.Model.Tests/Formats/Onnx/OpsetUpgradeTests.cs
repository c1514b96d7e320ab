using Google.Protobuf;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Old forms of operators compute what their own version of the standard says.</summary>
public sealed class OpsetUpgradeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(6)]
    [InlineData(11)]
    public void Softmax_before_13_is_taken_over_everything_from_its_axis_on(int opset)
    {
        float[] x = Values(24);
        float[] y = Run(opset, "Softmax", [F("x", x, 2, 3, 4)], ["y"])["y"].ToSingles();
        for (int row = 0; row < 2; row++)
        {
            double sum = 0;
            for (int i = 0; i < 12; i++) sum += Math.Exp(x[(row * 12) + i]);
            for (int i = 0; i < 12; i++) Assert.Equal(Math.Exp(x[(row * 12) + i]) / sum, y[(row * 12) + i], 6);
        }
        float[] last = Run(opset, "Softmax", [F("x", x, 2, 3, 4)], ["y"], ("axis", 2L))["y"].ToSingles();
        Assert.Equal(1, last.Take(4).Sum(), 5);
        Assert.Equal([2, 3, 4], Run(opset, "LogSoftmax", [F("x", x, 2, 3, 4)], ["y"], ("axis", 0L))["y"].Shape.ToArray());
    }

    [Fact]
    public void A_last_axis_softmax_stays_one_node()
    {
        ModelGraph graph = Read(11, "Softmax", [F("x", Values(6), 2, 3)], ["y"], ("axis", 1L));
        Assert.Equal("Softmax", Assert.Single(graph.Nodes).OpType);
    }

    [Fact]
    public void Attributes_become_inputs()
    {
        float[] x = Values(24);
        Assert.Equal([2, 12], Run(11, "Squeeze", [F("x", x, 1, 2, 1, 12)], ["y"], ("axes", new long[] { 0, 2 }))["y"].Shape.ToArray());
        Assert.Equal([2, 1, 12], Run(11, "Unsqueeze", [F("x", x, 2, 12)], ["y"], ("axes", new long[] { 1 }))["y"].Shape.ToArray());
        Assert.Equal([2, 1, 4], Run(17, "ReduceMean", [F("x", x, 2, 3, 4)], ["y"], ("axes", new long[] { 1 }))["y"].Shape.ToArray());
        Assert.Equal(x.Sum(), Assert.Single(Run(11, "ReduceSum", [F("x", x, 2, 3, 4)], ["y"], ("keepdims", 0L))["y"].ToSingles()), 4);

        IReadOnlyDictionary<string, TensorData> parts = Run(11, "Split", [F("x", x, 2, 12)], ["a", "b"], ("axis", 1L), ("split", new long[] { 5, 7 }));
        Assert.Equal([2, 5], parts["a"].Shape.ToArray());
        Assert.Equal(x[5], parts["b"].ToSingles()[0]);
        Assert.Equal([2, 4], Run(13, "Split", [F("x", x, 2, 12)], ["a", "b", "c"], ("axis", 1L))["c"].Shape.ToArray());

        Assert.Equal([x[13], x[14]], Run(9, "Slice", [F("x", x, 2, 12)], ["y"], ("starts", new long[] { 1, 1 }), ("ends", new long[] { 2, 3 }), ("axes", new long[] { 0, 1 }))["y"].ToSingles());
        Assert.Equal([7f, 1, 2, 7, 7], Run(7, "Pad", [F("x", [1, 2], 2)], ["y"], ("pads", new long[] { 1, 2 }), ("value", 7f))["y"].ToSingles());
        Assert.Equal([0f, 2, 6], Run(6, "Clip", [F("x", [-1, 2, 9], 3)], ["y"], ("min", 0f), ("max", 6f))["y"].ToSingles());
        Assert.Equal([-1f, 2, 6], Run(10, "Clip", [F("x", [-1, 2, 9], 3)], ["y"], ("min", float.MinValue), ("max", 6f))["y"].ToSingles());
        Assert.Equal([9f, 2], Run(9, "TopK", [F("x", [-1, 2, 9], 3)], ["y", "i"], ("k", 2L))["y"].ToSingles());
        Assert.Equal(ElementType.Float64, Run(10, "Clip", [("x", TensorData.Vector(-1.0, 3.0))], ["y"], ("max", 2f))["y"].ElementType);
    }

    [Fact]
    public void Batch_normalisation_and_dropout_are_read_in_their_inference_form()
    {
        (string, TensorData)[] inputs = [F("x", [1, 2, 3, 4], 1, 2, 2), F("s", [2, 1], 2), F("b", [0, 1], 2), F("m", [1, 2], 2), F("v", [1, 4], 2)];
        float[] y = Run(7, "BatchNormalization", inputs, ["y"], ("spatial", 1L), ("epsilon", 0f))["y"].ToSingles();
        Assert.Equal([0f, 2, 1.5f, 2], y);
        ModelGraph four = Read(9, "BatchNormalization", inputs, ["y", "mean", "var", "saved", "saved2"], declare: 1);
        Assert.Single(four.Nodes[0].Outputs);
        Assert.Equal("SL1112", Assert.Throws<ModelFormatException>(() => Read(9, "BatchNormalization", inputs, ["y", "mean"])).Code);
        Assert.Equal("SL1112", Assert.Throws<ModelFormatException>(() => Read(8, "BatchNormalization", inputs, ["y"], 1, ("spatial", 0L))).Code);
        Assert.Equal([1f, 2], Run(7, "Dropout", [F("x", [1, 2], 2)], ["y"], ("ratio", 0.9f))["y"].ToSingles());
        Assert.Equal([1f, 2], Run(6, "Dropout", [F("x", [1, 2], 2)], ["y"], ("is_test", 1L))["y"].ToSingles());
    }

    [Fact]
    public void Group_normalisation_before_21_scales_groups()
    {
        float[] x = Values(16);
        float[] y = Run(18, "GroupNormalization", [F("x", x, 1, 4, 4), F("s", [2, 3], 2), F("b", [1, -1], 2)], ["y"], ("num_groups", 2L), ("epsilon", 0f))["y"].ToSingles();
        for (int g = 0; g < 2; g++)
        {
            float[] group = x[(g * 8)..((g * 8) + 8)];
            double mean = group.Average(), deviation = Math.Sqrt(group.Select(v => (v - mean) * (v - mean)).Average());
            for (int i = 0; i < 8; i++) Assert.Equal(((group[i] - mean) / deviation * (g + 2)) + (g == 0 ? 1 : -1), y[(g * 8) + i], 3);
        }
    }

    [Fact]
    public void Broadcasting_of_opset_6_lines_up_with_its_axis()
    {
        float[] y = Run(6, "Add", [F("a", new float[12], 1, 3, 2, 2), F("b", [1, 2, 3], 3)], ["y"], ("broadcast", 1L), ("axis", 1L))["y"].ToSingles();
        Assert.Equal([1f, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], y);
        Assert.Equal([1f, 2, 1, 2], Run(6, "Mul", [F("a", [1, 1, 1, 1], 2, 2), F("b", [1, 2], 2)], ["y"], ("broadcast", 1L))["y"].ToSingles());
    }

    [Fact]
    public void Upsample_and_the_first_resize_become_resize()
    {
        Node upsample = Assert.Single(Read(7, "Upsample", [F("x", [1, 2], 1, 1, 1, 2)], ["y"], 1, ("scales", new float[] { 1, 1, 2, 2 }), ("mode", "nearest")).Nodes);
        Assert.Equal(("Resize", "asymmetric", "floor"), (upsample.OpType, upsample.Attributes.String("coordinate_transformation_mode", ""), upsample.Attributes.String("nearest_mode", "")));
        Assert.Equal("", upsample.Input(1));
        ModelGraph resize = Read(10, "Resize", [F("x", [1, 2], 1, 1, 1, 2)], ["y"], 1, extra: m =>
        {
            m.Graph.Initializer.Add(OnnxHostileTests.Tensor("scales", [1, 1, 1, 0.5f]));
            m.Graph.Node[0].Input.Add("scales");
        });
        Assert.Equal("ceil", resize.Nodes[0].Attributes.String("nearest_mode", ""));
        Assert.Equal("scales", resize.Nodes[0].Input(2));
    }

    [Fact]
    public void Defaults_that_changed_are_written_out()
    {
        Assert.Equal("linear", Read(16, "GridSample", [F("x", [1], 1, 1, 1, 1), F("g", [0, 0], 1, 1, 1, 2)], ["y"]).Nodes[0].Attributes.String("mode", ""));
        Assert.Equal("output_half_pixel", Read(10, "RoiAlign", [F("x", [1], 1, 1, 1, 1), F("r", [0, 0, 1, 1], 1, 4), ("i", TensorData.Vector(0L))], ["y"]).Nodes[0].Attributes.String("coordinate_transformation_mode", ""));
        Assert.Equal("ScatterElements", Read(9, "Scatter", [F("x", [1], 1), ("i", TensorData.Vector(0L)), F("u", [1], 1)], ["y"]).Nodes[0].OpType);
        Assert.Equal("SL1112", Assert.Throws<ModelFormatException>(() => Read(8, "Scan", [F("x", [1], 1)], ["y"])).Code);
    }

    [Fact]
    public void Every_form_of_a_constant_becomes_a_weight()
    {
        ModelGraph graph = Read(13, "Relu", [F("x", [1], 1)], ["y"], 1, extra: m =>
        {
            void Constant(string output, AttributeProto a) => m.Graph.Node.Add(new NodeProto { OpType = "Constant", Output = { output }, Attribute = { a } });
            Constant("f", new AttributeProto { Name = "value_float", Type = 1, F = 2.5f });
            Constant("i", new AttributeProto { Name = "value_int", Type = 2, I = 7 });
            Constant("s", new AttributeProto { Name = "value_string", Type = 3, S = ByteString.CopyFromUtf8("ü") });
            Constant("fs", new AttributeProto { Name = "value_floats", Type = 6, Floats = { 1, 2 } });
            Constant("is", new AttributeProto { Name = "value_ints", Type = 7, Ints = { 3, 4, 5 } });
            Constant("ss", new AttributeProto { Name = "value_strings", Type = 8, Strings = { ByteString.CopyFromUtf8("a") } });
        });
        Assert.Equal("Float32[] Int64[] String[] Float32[2] Int64[3] String[1]", string.Join(" ", graph.Weights.Values.Select(w => w.Read().ToString())));
        Assert.Equal("ü", graph.Weights["s"].Read().Array<string>()[0]);
        Assert.Single(graph.Nodes);
    }

    [Fact]
    public void Functions_are_expanded_with_their_own_opset_attributes_and_bodies()
    {
        ModelGraph graph = Read(17, "Twice", [F("x", [-1, 2], 2)], ["y"], 1, extra: m =>
        {
            m.Graph.Node[0].Domain = "local";
            m.Graph.Node[0].Attribute.Add(new AttributeProto { Name = "slope", Type = 1, F = 0.5f });
            m.Graph.Node.Add(new NodeProto { OpType = "Twice", Domain = "local", Input = { "x" }, Output = { "other" } });
            var constant = new NodeProto { OpType = "Constant", Output = { "two" }, Attribute = { new AttributeProto { Name = "value_float", Type = 1, F = 2 } } };
            var leaky = new NodeProto { OpType = "LeakyRelu", Input = { "a" }, Output = { "t" }, Attribute = { new AttributeProto { Name = "alpha", Type = 1, RefAttrName = "slope" } } };
            m.Functions.Add(new FunctionProto
            {
                Name = "Twice",
                Domain = "local",
                Input = { "a" },
                Output = { "b" },
                OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 11 } },
                AttributeProto = { new AttributeProto { Name = "slope", Type = 1, F = 0.25f } },
                Node = { constant, leaky, new NodeProto { OpType = "Mul", Input = { "t", "two" }, Output = { "m" } }, new NodeProto { OpType = "ReduceMax", Input = { "m" }, Output = { "b" }, Attribute = { new AttributeProto { Name = "axes", Type = 7, Ints = { 0 } } } } },
            });
            m.Graph.Output.Add(new ValueInfoProto { Name = "other" });
            m.OpsetImport.Add(new OperatorSetIdProto { Domain = "local", Version = 1 });
        });
        Assert.DoesNotContain("local", graph.CustomDomains.Keys);
        Assert.Equal([0.5f, 0.25f], graph.Nodes.Where(n => n.OpType == "LeakyRelu").Select(n => n.Attributes.Float("alpha", 0)));
        IReadOnlyDictionary<string, TensorData> y = GraphEvaluator.Run(graph, new Dictionary<string, TensorData> { ["x"] = TensorData.Vector(-1f, -2f) });
        Assert.Equal([-1f], y["y"].ToSingles());
        Assert.Equal([-0.5f], y["other"].ToSingles());
    }

    private static float[] Values(int count) => [.. Enumerable.Range(0, count).Select(i => MathF.Sin(i * 1.7f) * 2)];

    private static (string, TensorData) F(string name, float[] values, params int[] shape) => (name, TensorData.Wrap(values, shape));

    private OrderedDictionary<string, TensorData> Run(int opset, string op, (string Name, TensorData Data)[] inputs, string[] outputs, params (string, object)[] attributes) =>
        GraphEvaluator.Run(Read(opset, op, inputs, outputs, outputs.Length, attributes), inputs.ToDictionary(i => i.Name, i => i.Data));

    private ModelGraph Read(int opset, string op, (string Name, TensorData Data)[] inputs, string[] outputs, params (string, object)[] attributes) =>
        Read(opset, op, inputs, outputs, outputs.Length, attributes);

    private ModelGraph Read(int opset, string op, (string Name, TensorData Data)[] inputs, string[] outputs, int declare, params (string Name, object Value)[] attributes) =>
        Read(opset, op, inputs, outputs, declare, _ => { }, attributes);

    private ModelGraph Read(int opset, string op, (string Name, TensorData Data)[] inputs, string[] outputs, int declare, Action<ModelProto> extra, params (string Name, object Value)[] attributes)
    {
        var node = new NodeProto { OpType = op, Input = { inputs.Select(i => i.Name) }, Output = { outputs } };
        foreach ((string name, object value) in attributes)
        {
            node.Attribute.Add(value switch
            {
                long i => new AttributeProto { Name = name, Type = 2, I = i },
                float f => new AttributeProto { Name = name, Type = 1, F = f },
                string s => new AttributeProto { Name = name, Type = 3, S = ByteString.CopyFromUtf8(s) },
                long[] v => new AttributeProto { Name = name, Type = 7, Ints = { v } },
                float[] v => new AttributeProto { Name = name, Type = 6, Floats = { v } },
                _ => throw new ArgumentException(name),
            });
        }
        var model = new ModelProto { IrVersion = 8, OpsetImport = { new OperatorSetIdProto { Domain = "", Version = opset } }, Graph = new GraphProto { Name = "g", Node = { node } } };
        foreach ((string name, TensorData data) in inputs)
            model.Graph.Input.Add(new ValueInfoProto { Name = name, Type = OnnxTypes.Write(new GraphValue(name, new TensorType(data.ElementType, TensorShape.Of(data.Shape)))) });
        foreach (string output in outputs.Take(declare)) model.Graph.Output.Add(new ValueInfoProto { Name = output });
        extra(model);
        File.WriteAllBytes(_folder["m.onnx"], model.ToByteArray());
        ModelGraph graph = OnnxReader.Read(_folder["m.onnx"]);
        Assert.Empty(GraphValidator.Violations(graph, allowUnknownOperators: true));
        return graph;
    }
}
