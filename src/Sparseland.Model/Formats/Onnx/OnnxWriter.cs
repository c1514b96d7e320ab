using System.Globalization;
using Google.Protobuf;
using Sparseland.Model.Formats.Onnx.Downgrade;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Writes interchange ONNX: plain operators, dense weights with zeros where entries were removed.</summary>
/// <remarks>
/// The same graph gives the same bytes. Weights are streamed one by one, so that memory holds one of them at a time. ONNX's
/// sparse initializers are not written (R33): runtimes turn them dense on load; a small file is what compact safetensors is for.
/// </remarks>
public static class OnnxWriter
{
    private const int GraphField = 7, InitializerField = 5, RawField = 9;
    private const long Alignment = 4096;

    /// <summary>What a protobuf file may hold, less room for headers.</summary>
    private const long LargestFile = int.MaxValue - (1 << 20);

    /// <summary>Writes a model.</summary>
    /// <param name="graph">The model; its nodes must be in topological order.</param>
    /// <param name="path">The file; with external data, PATH.data is written as well.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <exception cref="ModelFormatException">
    /// SL1003: a file cannot be written. SL1102: no such opset. SL1113: a node cannot be written in the opset asked for.
    /// SL1116: the model exceeds 2 GB and external data was declined.
    /// </exception>
    /// <exception cref="GraphException">The graph's types contradict each other (found where the choice of the opset depends on them).</exception>
    public static void Write(ModelGraph graph, string path, OnnxWriteOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new OnnxWriteOptions();
        int opset = options.Opset ?? OpsetNeeds.Of(graph);
        if (opset is < OpsetNeeds.Oldest or > OnnxReader.NewestOpset)
            throw OnnxErrors.Version(path, $"opset {opset} cannot be written", $"choose an opset from {OpsetNeeds.Oldest} to {OnnxReader.NewestOpset}");
        string? masks = options.IncludeMaskMetadata ? OnnxMasks.Describe(graph) : null;
        ModelGraph lowered = OpsetDowngrade.Apply(graph, opset);

        ModelProto model = Model(lowered, opset, masks);
        var body = new GraphProto { Name = lowered.Name.Length > 0 ? lowered.Name : "graph" };
        FillNodes(body, lowered);
        long bytes = lowered.Weights.Values.Sum(w => (long)w.Length * w.ElementType.Size());
        bool external = options.ExternalData ?? (bytes + body.CalculateSize() > LargestFile);

        if (!external)
        {
            WriteFile(model, body, [.. lowered.Weights.Values.Select(w => (w, Header(w)))], path);
            return;
        }
        // Every byte of both files is on the disk before either takes its name, so that a full disk leaves the old pair.
        string data = path + ".data";
        AtomicFile.Write(data, stream =>
        {
            List<(Weight, TensorProto)> weights = WriteData(lowered, stream, Path.GetFileName(data), options.ExternalDataThreshold);
            stream.Flush();
            WriteFile(model, body, weights, path);
        });
    }

    private static void WriteFile(ModelProto model, GraphProto body, List<(Weight Weight, TensorProto Header)> weights, string path)
    {
        long size = body.CalculateSize() + weights.Sum(w => InitializerSize(w.Weight, w.Header));
        if (size > LargestFile)
            throw OnnxErrors.TooLarge(path, "the model exceeds the 2 GB that an ONNX file holds: write it with external data");
        AtomicFile.Write(path, stream => WriteModel(model, body, weights, (int)size, stream));
    }

    private static ModelProto Model(ModelGraph graph, int opset, string? masks)
    {
        var model = new ModelProto { IrVersion = OpsetNeeds.IrVersion(opset), ProducerName = "Sparseland" };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = opset });
        var domains = new SortedDictionary<string, int>(graph.CustomDomains, StringComparer.Ordinal);
        foreach (string used in OnnxNames.DomainsOf(graph))
        {
            if (used.Length > 0) domains.TryAdd(used, 1);
        }
        foreach ((string domain, int version) in domains) model.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = version });
        foreach ((string key, string value) in graph.Metadata)
        {
            if (key != OnnxMasks.MetadataKey) model.MetadataProps.Add(new StringStringEntryProto { Key = key, Value = value });
        }
        if (masks is not null) model.MetadataProps.Add(new StringStringEntryProto { Key = OnnxMasks.MetadataKey, Value = masks });
        return model;
    }

    private static GraphProto Graph(ModelGraph graph)
    {
        var proto = new GraphProto { Name = graph.Name.Length > 0 ? graph.Name : "graph" };
        FillNodes(proto, graph);
        foreach (Weight weight in graph.Weights.Values) proto.Initializer.Add(OnnxTensor.ToProto(weight.Read(), weight.Name));
        return proto;
    }

    private static void FillNodes(GraphProto proto, ModelGraph graph)
    {
        foreach (Node node in graph.Nodes)
        {
            var p = new NodeProto { Name = node.Name, OpType = node.OpType, Domain = node.Domain };
            p.Input.AddRange(node.Inputs);
            p.Output.AddRange(node.Outputs);
            foreach (string key in node.Attributes.Names) p.Attribute.Add(Attribute(node, key, node.Attributes.Value(key)!));
            proto.Node.Add(p);
        }
        foreach (GraphValue input in graph.Inputs) proto.Input.Add(new ValueInfoProto { Name = input.Name, Type = OnnxTypes.Write(input) });
        foreach (GraphValue output in graph.Outputs) proto.Output.Add(new ValueInfoProto { Name = output.Name, Type = OnnxTypes.Write(output) });
    }

    private static AttributeProto Attribute(Node node, string name, object value)
    {
        var a = new AttributeProto { Name = name };
        switch (value)
        {
            case float f: (a.Type, a.F) = (1, f); break;
            case long i: (a.Type, a.I) = (2, i); break;
            // The one attribute of the standard that is a type; a graph holds it as text.
            case string s when name == "type" && node.OpType == "Optional" && node.Domain.Length == 0: (a.Type, a.Tp) = (13, OnnxTypes.ParseText(s)); break;
            case string s: (a.Type, a.S) = (3, ByteString.CopyFromUtf8(s)); break;
            case byte[] bytes: (a.Type, a.S) = (3, ByteString.CopyFrom(bytes)); break;
            case TensorData t: (a.Type, a.T) = (4, OnnxTensor.ToProto(t, "")); break;
            case ModelGraph g: (a.Type, a.G) = (5, Graph(g)); break;
            case float[] floats: a.Type = 6; a.Floats.AddRange(floats); break;
            case long[] ints: a.Type = 7; a.Ints.AddRange(ints); break;
            case string[] strings: a.Type = 8; a.Strings.AddRange(strings.Select(ByteString.CopyFromUtf8)); break;
            case TensorData[] tensors: a.Type = 9; a.Tensors.AddRange(tensors.Select(t => OnnxTensor.ToProto(t, ""))); break;
            case ModelGraph[] graphs: a.Type = 10; a.Graphs.AddRange(graphs.Select(Graph)); break;
            default: throw new InvalidOperationException($"An attribute cannot be a {value.GetType().Name}.");
        }
        return a;
    }

    private static TensorProto Header(Weight weight) => weight.ElementType == ElementType.String
        ? OnnxTensor.ToProto(weight.Read(), weight.Name)
        : OnnxTensor.Header(weight.ElementType, weight.Shape, weight.Name);

    private static long ByteCount(Weight weight) => (long)weight.Length * weight.ElementType.Size();

    private static bool IsInline(Weight weight, TensorProto header) => header.DataLocation != 1 && weight.ElementType != ElementType.String;

    private static long TensorSize(Weight weight, TensorProto header)
    {
        long size = header.CalculateSize();
        if (IsInline(weight, header)) size += 1 + VarintSize(ByteCount(weight)) + ByteCount(weight);
        return size;
    }

    private static long InitializerSize(Weight weight, TensorProto header)
    {
        long size = TensorSize(weight, header);
        return 1 + VarintSize(size) + size;
    }

    private static List<(Weight Weight, TensorProto Header)> WriteData(ModelGraph graph, Stream stream, string location, int threshold)
    {
        var weights = new List<(Weight, TensorProto)>();
        long position = 0;
        var padding = new byte[Alignment];
        foreach (Weight weight in graph.Weights.Values)
        {
            TensorProto header = Header(weight);
            weights.Add((weight, header));
            long bytes = ByteCount(weight);
            if (weight.ElementType == ElementType.String || bytes < Math.Max(1, threshold)) continue;
            int gap = (int)((Alignment - (position % Alignment)) % Alignment);
            stream.Write(padding, 0, gap);
            position += gap;
            WriteElements(weight, stream);
            header.DataLocation = 1;
            Add(header, "location", location);
            Add(header, "offset", position.ToString(CultureInfo.InvariantCulture));
            Add(header, "length", bytes.ToString(CultureInfo.InvariantCulture));
            position += bytes;
        }
        return weights;

        static void Add(TensorProto header, string key, string value) => header.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
    }

    private static void WriteElements(Weight weight, Stream stream)
    {
        TensorData data = weight.Read();
        if (BitConverter.IsLittleEndian)
        {
            stream.Write(data.Bytes());
            return;
        }
        byte[] bytes = data.Bytes().ToArray();
        TensorBytes.SwapEndianness(bytes, data.ElementType.Size());
        stream.Write(bytes);
    }

    /// <summary>The model's fields, and the graph as nodes first, weights behind them, each streamed.</summary>
    private static void WriteModel(ModelProto model, GraphProto body, List<(Weight Weight, TensorProto Header)> weights, int size, Stream stream)
    {
        model.WriteTo(stream);
        WriteVarint(stream, GraphField << 3 | 2);
        WriteVarint(stream, size);
        body.WriteTo(stream);
        foreach ((Weight weight, TensorProto header) in weights)
        {
            WriteVarint(stream, InitializerField << 3 | 2);
            WriteVarint(stream, TensorSize(weight, header));
            header.WriteTo(stream);
            if (!IsInline(weight, header)) continue;
            WriteVarint(stream, RawField << 3 | 2);
            WriteVarint(stream, ByteCount(weight));
            WriteElements(weight, stream);
        }
    }

    private static int VarintSize(long value) => CodedOutputStream.ComputeUInt64Size((ulong)value);

    private static void WriteVarint(Stream stream, long value)
    {
        for (; value >= 0x80; value >>= 7) stream.WriteByte((byte)(value | 0x80));
        stream.WriteByte((byte)value);
    }
}
