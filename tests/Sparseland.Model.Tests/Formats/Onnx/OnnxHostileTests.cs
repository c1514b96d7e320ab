using Google.Protobuf;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Damaged and hostile files: one typed error each, and little memory taken before it is raised.</summary>
public sealed class OnnxHostileTests : IDisposable
{
    private const long MemoryBound = 32L << 20;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Missing_empty_and_foreign_files()
    {
        Assert.Equal("SL1001", Code(_folder["absent.onnx"]));
        Assert.Equal("SL1101", Bytes([]));
        Assert.Equal("SL1101", Bytes("this is a text, not a model"u8.ToArray()));
        Assert.Equal("SL1101", Bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]));
    }

    [Fact]
    public void A_file_cut_short_anywhere_never_crashes()
    {
        byte[] whole = Whole().ToByteArray();
        int refused = 0;
        for (int length = 0; length < whole.Length; length++)
        {
            // A cut between two fields leaves a valid, smaller message: then something that is named is missing.
            try
            {
                OnnxReader.Read(Save(whole.AsSpan(0, length)));
            }
            catch (ModelFormatException e)
            {
                Assert.StartsWith("SL11", e.Code, StringComparison.Ordinal);
                refused++;
            }
        }
        Assert.True(refused > whole.Length * 0.9, $"{refused} of {whole.Length} cuts were refused");
    }

    [Fact]
    public void Files_with_flipped_bytes_are_read_or_refused()
    {
        byte[] whole = Whole().ToByteArray();
        var random = new Random(11);
        for (int round = 0; round < 600; round++)
        {
            byte[] copy = (byte[])whole.Clone();
            for (int flips = random.Next(1, 6); flips > 0; flips--) copy[random.Next(copy.Length)] = (byte)random.Next(256);
            string path = Save(copy);
            try
            {
                foreach (Weight weight in OnnxReader.Read(path).Weights.Values) weight.Read();
            }
            catch (ModelFormatException e)
            {
                Assert.StartsWith("SL1", e.Code, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void A_length_beyond_the_end_is_refused_before_memory_is_taken()
    {
        // Field 7 (graph), 2^34 bytes; then the same inside the graph.
        Assert.Equal("SL1101", Bytes([0x3A, 0x80, 0x80, 0x80, 0x80, 0x40]));
        Assert.Equal("SL1101", Bytes([0x3A, 7, 0x2A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0]));
        Assert.Equal("SL1101", Bytes([0x3A, 11, 0x2A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]));
    }

    [Theory]
    [InlineData(new long[] { 1L << 40, 1L << 40 })]
    [InlineData(new long[] { 1L << 31 })]
    [InlineData(new long[] { 1 << 16, 1 << 16, 1 << 16, 1 << 16 })]
    [InlineData(new long[] { -1 })]
    [InlineData(new long[] { long.MinValue, 0 })]
    [InlineData(new long[] { 1 << 20, 1 << 20, 0 })]
    public void Dimensions_that_overflow_are_refused(long[] dims)
    {
        TensorProto tensor = Tensor("w", [1, 2, 3]);
        tensor.Dims.Clear();
        tensor.Dims.AddRange(dims);
        Assert.Equal("SL1103", Model(m => m.Graph.Initializer.Add(tensor)));
        Assert.Equal("SL1103", Model(m => m.Graph.Node.Add(Constant(tensor))));
    }

    [Fact]
    public void Data_that_does_not_fill_the_shape_is_refused()
    {
        TensorProto small = Tensor("w", [1, 2, 3]);
        small.Dims[0] = 2_000_000_000;
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(small)));
        TensorProto large = Tensor("w", [1, 2, 3]);
        large.Dims[0] = 2;
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(large)));
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 1, Dims = { 5 }, FloatData = { 1, 2 } })));
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 7, Dims = { 1_000_000_000 } })));
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 3, Dims = { 1 }, Int32Data = { 300 } })));
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 8, Dims = { 1 }, RawData = ByteString.CopyFrom(1) })));
        Assert.Equal("SL1104", Model(m => m.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 1, Segment = new TensorProto.Types.Segment() })));
    }

    [Theory]
    [InlineData(0, "undefined")]
    [InlineData(14, "complex64")]
    [InlineData(17, "float8e4m3fn")]
    [InlineData(22, "int4")]
    [InlineData(99, "number 99")]
    [InlineData(-1, "number -1")]
    public void Element_types_without_storage_are_named_with_their_tensor(int type, string name)
    {
        var tensor = new TensorProto { Name = "weights.of.layer", DataType = type, Dims = { 2 }, RawData = ByteString.CopyFrom(1, 2) };
        ModelFormatException error = Error(m => m.Graph.Initializer.Add(tensor));
        Assert.Equal("SL1105", error.Code);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        Assert.Contains("weights.of.layer", error.Where!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../secret.bin")]
    [InlineData("/etc/passwd")]
    [InlineData("sub/../../secret.bin")]
    [InlineData("..\\secret.bin")]
    [InlineData("C:\\secret.bin")]
    [InlineData("link.bin")]
    [InlineData("absent.bin")]
    [InlineData("")]
    public void External_data_stays_in_the_models_folder(string location)
    {
        Directory.CreateDirectory(_folder["in"]);
        File.WriteAllBytes(_folder["secret.bin"], new byte[64]);
        File.CreateSymbolicLink(Path.Combine(_folder["in"], "link.bin"), _folder["secret.bin"]);
        Assert.Equal("SL1106", External(location, ("offset", "0")));
    }

    [Theory]
    [InlineData("offset", "60")]
    [InlineData("offset", "-4")]
    [InlineData("offset", "9223372036854775800")]
    [InlineData("offset", "many")]
    [InlineData("length", "8")]
    [InlineData("length", "99999999999999999999")]
    public void External_ranges_are_checked(string key, string value)
    {
        Directory.CreateDirectory(_folder["in"]);
        File.WriteAllBytes(Path.Combine(_folder["in"], "data.bin"), new byte[64]);
        Assert.Equal("SL1106", External("data.bin", (key, value)));
    }

    [Fact]
    public void External_data_in_range_is_read()
    {
        Directory.CreateDirectory(_folder["in"]);
        float[] values = [.. Enumerable.Range(0, 16).Select(i => (float)i)];
        File.WriteAllBytes(Path.Combine(_folder["in"], "data.bin"), System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
        Assert.Equal("", External("data.bin", ("offset", "52"), ("length", "12"), ("checksum", "x")));
        Assert.Equal([13f, 14, 15], OnnxReader.Read(Path.Combine(_folder["in"], "m.onnx")).Weights["w"].Read().ToSingles());
    }

    [Fact]
    public void Names_that_are_used_twice_or_never_defined_are_refused()
    {
        Assert.Equal("SL1107", Model(m => m.Graph.Initializer.Add([Tensor("w", [1]), Tensor("w", [2])])));
        Assert.Equal("SL1107", Model(m => m.Graph.Initializer.Add(Tensor("", [1]))));
        Assert.Equal("SL1107", Model(m => m.Graph.Node.Add(Node("Relu", ["x"], ["y"]))));
        Assert.Equal("SL1107", Model(m => m.Graph.Node.Add(Node("Relu", ["x"], ["x"]))));
        Assert.Equal("SL1107", Model(m => m.Graph.Node.Add(Node("Relu", ["nothing"], ["z"]))));
        Assert.Equal("SL1107", Model(m => m.Graph.Input.Add(new ValueInfoProto { Name = "x" })));
        Assert.Equal("SL1107", Model(m => m.Graph.Output.Add(new ValueInfoProto { Name = "nothing" })));
        Assert.Equal("SL1107", Model(m => m.Graph.Node.Add(Node("", ["x"], ["z"]))));
        Assert.Equal("", Model(m => m.Graph.Node.Add([Node("Relu", ["x"], ["a"]), Node("Relu", ["x"], ["b"])])));
    }

    [Fact]
    public void Cycles_are_refused_and_wrong_order_is_sorted()
    {
        Assert.Equal("SL1109", Model(m => m.Graph.Node.Add([Node("Add", ["x", "b"], ["a"]), Node("Relu", ["a"], ["b"])])));
        Assert.Equal("SL1109", Model(m => m.Graph.Node.Add(Node("Add", ["x", "a"], ["a"]))));
        Assert.Equal("", Model(m => m.Graph.Node.Add([Node("Relu", ["b"], ["a"]), Node("Relu", ["x"], ["b"])])));
    }

    [Theory]
    [InlineData(30)]
    [InlineData(2000)]
    public void Deep_nesting_is_refused(int depth)
    {
        // Built as bytes from the inside out: each level wraps a graph in an attribute of a node of a graph.
        byte[] graph = new GraphProto { Name = "g" }.ToByteArray();
        for (int i = 0; i < depth; i++)
        {
            byte[] attribute = [.. new AttributeProto { Name = "body", Type = 5 }.ToByteArray(), .. Field(6, graph)];
            byte[] node = [.. new NodeProto { OpType = "Loop" }.ToByteArray(), .. Field(5, attribute)];
            graph = [.. new GraphProto { Name = "g" }.ToByteArray(), .. Field(1, node)];
        }
        byte[] model = [.. new ModelProto { IrVersion = 8, OpsetImport = { new OperatorSetIdProto { Version = 17 } } }.ToByteArray(), .. Field(7, graph)];
        Assert.Equal("SL1108", Bytes(model));
    }

    [Fact]
    public void Types_nested_deeply_are_refused()
    {
        byte[] type = new TypeProto().ToByteArray();
        for (int i = 0; i < 500; i++) type = Field(4, Field(1, type));
        byte[] input = [.. new ValueInfoProto { Name = "x" }.ToByteArray(), .. Field(2, type)];
        Assert.Equal("SL1108", Bytes([.. new ModelProto { IrVersion = 8 }.ToByteArray(), .. Field(7, Field(11, input))]));
    }

    [Theory]
    [InlineData(5)]
    [InlineData(29)]
    [InlineData(-1)]
    [InlineData(long.MaxValue)]
    public void Opsets_out_of_range_are_refused(long version) =>
        Assert.Equal("SL1102", Model(m => m.OpsetImport[0].Version = version));

    [Fact]
    public void Functions_that_call_themselves_or_explode_are_refused()
    {
        Assert.Equal("SL1110", Model(m =>
        {
            m.Functions.Add(new FunctionProto { Name = "F", Domain = "d", Input = { "a" }, Output = { "b" }, Node = { Node("F", ["a"], ["b"], "d") } });
            m.Graph.Node.Add(Node("F", ["x"], ["z"], "d"));
        }));
        Assert.Equal("SL1110", Model(m =>
        {
            for (int i = 0; i < 23; i++)
            {
                m.Functions.Add(new FunctionProto
                {
                    Name = $"F{i}",
                    Domain = "d",
                    Input = { "a" },
                    Output = { "b" },
                    Node = { Node($"F{i + 1}", ["a"], ["t"], "d"), Node($"F{i + 1}", ["t"], ["b"], "d") },
                });
            }
            m.Graph.Node.Add(Node("F0", ["x"], ["z"], "d"));
        }, memory: 4L << 30));
        Assert.Equal("SL1110", Model(m => m.Functions.Add([new FunctionProto { Name = "F" }, new FunctionProto { Name = "F" }])));
    }

    [Fact]
    public void Attributes_of_impossible_forms_are_refused()
    {
        void Add(ModelProto m, params AttributeProto[] attributes) => m.Graph.Node.Add(new NodeProto { OpType = "Relu", Input = { "x" }, Output = { "z" }, Attribute = { attributes } });
        Assert.Equal("SL1111", Model(m => Add(m, new AttributeProto { Name = "a", Type = 42 })));
        Assert.Equal("SL1111", Model(m => Add(m, new AttributeProto { Name = "a", Type = 4 })));
        Assert.Equal("SL1111", Model(m => Add(m, new AttributeProto { Name = "a", Type = 5 })));
        Assert.Equal("SL1111", Model(m => Add(m, new AttributeProto { Name = "a", Type = 2, I = 1 }, new AttributeProto { Name = "a", Type = 2, I = 2 })));
        Assert.Equal("SL1111", Model(m => Add(m, new AttributeProto { Name = "a", Type = 2, RefAttrName = "b" })));
        Assert.Equal("SL1111", Model(m => m.Graph.Node.Add(new NodeProto { OpType = "Constant", Output = { "c" } })));
    }

    [Fact]
    public void Sparse_initializers_are_checked()
    {
        static SparseTensorProto Sparse(long[] at, params long[] dims) => new()
        {
            Values = Tensor("s", [.. at.Select(i => (float)i + 1)]),
            Indices = new TensorProto { DataType = 7, Dims = { at.Length }, Int64Data = { at } },
            Dims = { dims },
        };
        ModelGraph graph = OnnxReader.Read(Save(Whole(m => m.Graph.SparseInitializer.Add(Sparse([1, 5], 2, 3))).ToByteArray()));
        Assert.Equal([0f, 2, 0, 0, 0, 6], graph.Weights["s"].Read().ToSingles());
        Assert.Equal(2, graph.Weights["s"].Mask!.KeptCount);
        Assert.Equal("SL1114", Model(m => m.Graph.SparseInitializer.Add(Sparse([1, 6], 2, 3))));
        Assert.Equal("SL1114", Model(m => m.Graph.SparseInitializer.Add(Sparse([5, 1], 2, 3))));
        Assert.Equal("SL1114", Model(m => m.Graph.SparseInitializer.Add(Sparse([-1], 2, 3))));
        Assert.Equal("SL1114", Model(m => m.Graph.SparseInitializer.Add(new SparseTensorProto { Values = Tensor("s", [1]) })));
        Assert.Equal("SL1116", Model(m => m.Graph.SparseInitializer.Add(Sparse([1], 1 << 15, 1 << 15))));
    }

    [Theory]
    [InlineData("no json")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("[{\"weight\":\"w\",\"keptZeros\":\"/////w==\"}]")]
    [InlineData("[{\"weight\":\"w\",\"keptZeros\":\"CQ==\"}]")]
    [InlineData("[{\"weight\":\"w\",\"keptZeros\":\"gA==\"}]")]
    [InlineData("[{\"weight\":\"w\",\"keptZeros\":\"not base64\"}]")]
    [InlineData("[[[[[[[[[[[[[[]]]]]]]]]]]]]]")]
    public void Damaged_mask_lists_are_refused(string text)
    {
        Assert.Equal("SL1115", Model(m =>
        {
            m.Graph.Initializer.Add(Tensor("w", [0, 1, 2]));
            m.MetadataProps.Add(new StringStringEntryProto { Key = "sparseland.masks", Value = text });
        }));
    }

    [Fact]
    public void Operators_that_are_not_known_do_not_hinder_reading()
    {
        ModelGraph graph = OnnxReader.Read(Save(Whole(m => m.Graph.Node.Add(Node("NoSuchThing", ["x"], ["z"], "vendor"))).ToByteArray()));
        UnsupportedOperatorException error = Assert.Single(GraphValidator.UnsupportedOperators(graph));
        Assert.Equal(("vendor", "NoSuchThing", "NoSuchThing"), (error.Domain, error.OpType, error.NodeName));
    }

    internal static TensorProto Tensor(string name, float[] values) => new() { Name = name, DataType = 1, Dims = { values.Length }, RawData = ByteString.CopyFrom(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan())) };

    internal static NodeProto Node(string op, string[] inputs, string[] outputs, string domain = "") => new() { OpType = op, Input = { inputs }, Output = { outputs }, Domain = domain };

    private static NodeProto Constant(TensorProto value) => new() { OpType = "Constant", Output = { "c" }, Attribute = { new AttributeProto { Name = "value", Type = 4, T = value } } };

    /// <summary>y = relu(x), with a weight and a Constant, and what a test adds.</summary>
    private static ModelProto Whole(Action<ModelProto>? edit = null)
    {
        var model = new ModelProto { IrVersion = 8, OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 17 } }, Graph = new GraphProto { Name = "g" } };
        model.Graph.Node.Add([Node("Relu", ["x"], ["y"]), Constant(Tensor("", [4, 5]))]);
        model.Graph.Node[1].Output[0] = "constant";
        model.Graph.Initializer.Add(Tensor("weight", [1, 2, 3]));
        model.Graph.Input.Add(new ValueInfoProto { Name = "x", Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = 1 } } });
        model.Graph.Output.Add(new ValueInfoProto { Name = "y" });
        edit?.Invoke(model);
        return model;
    }

    private static byte[] Field(int number, byte[] payload)
    {
        using var stream = new MemoryStream();
        var output = new CodedOutputStream(stream);
        output.WriteTag(number, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(payload));
        output.Flush();
        return stream.ToArray();
    }

    private string Save(ReadOnlySpan<byte> bytes)
    {
        File.WriteAllBytes(_folder["m.onnx"], bytes);
        return _folder["m.onnx"];
    }

    private string External(string location, params (string Key, string Value)[] entries)
    {
        var tensor = new TensorProto { Name = "w", DataType = 1, Dims = { 3 }, DataLocation = 1, ExternalData = { new StringStringEntryProto { Key = "location", Value = location } } };
        foreach ((string key, string value) in entries) tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
        string path = Path.Combine(_folder["in"], "m.onnx");
        File.WriteAllBytes(path, Whole(m => m.Graph.Initializer.Add(tensor)).ToByteArray());
        return Code(path);
    }

    private ModelFormatException Error(Action<ModelProto> edit) => Assert.Throws<ModelFormatException>(() => OnnxReader.Read(Save(Whole(edit).ToByteArray())));

    private string Model(Action<ModelProto> edit, long memory = MemoryBound) => Code(Save(Whole(edit).ToByteArray()), memory);

    private string Bytes(byte[] bytes) => Code(Save(bytes));

    /// <summary>The code of the error that reading gives, or nothing; checks what was allocated on the way.</summary>
    private static string Code(string path, long memory = MemoryBound)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        string code = "";
        try
        {
            OnnxReader.Read(path);
        }
        catch (ModelFormatException e)
        {
            code = e.Code;
            Assert.NotNull(e.Where);
        }
        long taken = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(taken < memory, $"{taken >> 20} MB were allocated");
        return code;
    }
}
