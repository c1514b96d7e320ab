using System.Text;
using Google.Protobuf;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Formats.Onnx.Upgrade;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Turns the file's graph, and the graphs inside it, into ours.</summary>
internal sealed class OnnxGraphReader(OnnxFile file, OnnxFunctions functions, int opset)
{
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    private readonly OnnxNames _values = new();

    internal OnnxFunctions Functions => functions;

    /// <summary>Reads the main graph.</summary>
    internal ModelGraph Read(GraphProto proto, List<RawRange?> raw)
    {
        _values.AddAll(proto, file.Path);
        ModelGraph graph = Graph(proto, raw, opset, null, 0);
        RequireDefined(graph, new HashSet<string>(StringComparer.Ordinal));
        return graph;
    }

    /// <summary>The types that are declared in a graph and around it.</summary>
    internal sealed class Scope(Scope? outer)
    {
        internal Dictionary<string, TensorType> Types { get; } = new(StringComparer.Ordinal);

        internal HashSet<string> Defined { get; } = new(StringComparer.Ordinal);

        internal ModelGraph? Graph { get; set; }

        internal TensorType? TypeOf(string name) => Types.TryGetValue(name, out TensorType? type) ? type
            : Graph!.Weights.TryGetValue(name, out Weight? weight) ? weight.Type : outer?.TypeOf(name);

        internal TensorData? ConstantOf(string name) => Graph!.Weights.TryGetValue(name, out Weight? weight) ? weight.Read()
            : Types.ContainsKey(name) ? null : outer?.ConstantOf(name);
    }

    private ModelGraph Graph(GraphProto proto, List<RawRange?>? raw, int version, Scope? outer, int depth)
    {
        if (depth > OnnxReader.MaxDepth) throw OnnxErrors.TooDeep(file.Path);
        var graph = new ModelGraph(proto.Name);
        var scope = new Scope(outer) { Graph = graph };
        AddWeights(graph, proto, raw);
        foreach (ValueInfoProto v in proto.ValueInfo) scope.Types.TryAdd(v.Name, OnnxTypes.Read(v.Type, Where($"value '{v.Name}'")).Type);
        foreach (ValueInfoProto v in proto.Input)
        {
            // Before IR version 4 every weight had to be listed as an input as well.
            if (graph.Weights.ContainsKey(v.Name)) continue;
            if (v.Name.Length == 0) throw OnnxErrors.Names(file.Path, $"an input of graph '{proto.Name}' has no name");
            GraphValue input = Value(v);
            graph.Inputs.Add(input);
            scope.Types[v.Name] = input.Type;
            if (!scope.Defined.Add(v.Name)) throw OnnxErrors.Names(file.Path, $"the graph input '{v.Name}' is declared twice");
        }
        foreach (ValueInfoProto v in proto.Output)
        {
            GraphValue output = Value(v);
            graph.Outputs.Add(output);
            scope.Types.TryAdd(v.Name, output.Type);
        }
        AddNodes(graph, proto, scope, version, depth);
        Check(graph, scope);
        return graph;
    }

    private GraphValue Value(ValueInfoProto v)
    {
        (TensorType type, string? foreign) = OnnxTypes.Read(v.Type, Where($"value '{v.Name}'"));
        return new GraphValue(v.Name, type) { ForeignType = foreign };
    }

    private void AddWeights(ModelGraph graph, GraphProto proto, List<RawRange?>? raw)
    {
        for (int i = 0; i < proto.Initializer.Count; i++)
        {
            TensorProto tensor = proto.Initializer[i];
            string where = Where($"initializer '{tensor.Name}'");
            AddWeight(graph, tensor.Name, OnnxTensor.Storage(tensor, raw?[i], file, where), where);
        }
        foreach (SparseTensorProto sparse in proto.SparseInitializer)
        {
            string name = sparse.Values?.Name ?? "";
            string where = Where($"sparse initializer '{name}'");
            Weight weight = OnnxSparse.Read(name.Length > 0 ? name : throw OnnxErrors.Names(where, "an initializer has no name"), sparse, file, where);
            if (!graph.Weights.TryAdd(name, weight)) throw OnnxErrors.Names(where, "two initializers have this name");
        }
    }

    private static void AddWeight(ModelGraph graph, string name, WeightStorage storage, string where)
    {
        if (name.Length == 0) throw OnnxErrors.Names(where, "an initializer has no name");
        if (!graph.Weights.TryAdd(name, new Weight(name, storage))) throw OnnxErrors.Names(where, "two initializers have this name");
    }

    private void AddNodes(ModelGraph graph, GraphProto proto, Scope scope, int version, int depth)
    {
        var names = new OnnxNames();
        List<NodeProto> nodes = [.. functions.Expand(proto.Node, _values)];
        var named = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (NodeProto node in nodes)
        {
            if (node.Name.Length > 0 && names.Add(node.Name)) named.Add(node);
        }
        var read = new HashSet<string>(graph.Outputs.Select(o => o.Name), StringComparer.Ordinal);
        foreach (NodeProto node in nodes) AddReads(node, read);

        foreach (NodeProto p in nodes)
        {
            int own = functions.Versions.GetValueOrDefault(p, version);
            string name = named.Contains(p) ? p.Name : names.Fresh(p.Name.Length > 0 ? p.Name : p.OpType);
            string domain = OnnxNames.Domain(p.Domain);
            string where = Where($"node '{name}' ({p.OpType})");
            if (p.OpType.Length == 0) throw OnnxErrors.Names(where, "the node has no operator");
            if (domain.Length == 0 && p.OpType == "Constant")
            {
                if (p.Output.Count != 1 || p.Output[0].Length == 0) throw OnnxErrors.Names(where, "a Constant node has one output");
                Weight weight = OnnxConstant.Read(p, file, where)(p.Output[0]);
                if (!graph.Weights.TryAdd(weight.Name, weight)) throw OnnxErrors.Names(where, $"the value '{weight.Name}' is defined twice");
                continue;
            }
            var node = new Node(name, p.OpType, p.Input, p.Output, domain);
            foreach (AttributeProto a in p.Attribute) AddAttribute(node, a, scope, own, depth, where);
            OpsetUpgrade.Apply(node, new UpgradeContext(graph, scope, _values, names, read, own, where));
        }
    }

    private static void AddReads(NodeProto node, HashSet<string> read)
    {
        read.UnionWith(node.Input);
        foreach (AttributeProto a in node.Attribute)
        {
            foreach (GraphProto g in a.G is null ? a.Graphs : a.Graphs.Prepend(a.G))
            {
                foreach (NodeProto inner in g.Node) AddReads(inner, read);
                read.UnionWith(g.Output.Select(o => o.Name));
            }
        }
    }

    private void AddAttribute(Node node, AttributeProto a, Scope scope, int version, int depth, string where)
    {
        if (a.Name.Length == 0) throw OnnxErrors.Attribute(where, "an attribute has no name");
        if (node.Attributes.Has(a.Name)) throw OnnxErrors.Attribute(where, $"attribute '{a.Name}' is there twice");
        if (a.RefAttrName.Length > 0) throw OnnxErrors.Attribute(where, $"attribute '{a.Name}' refers to an attribute of a function, but the node is in none");
        string inner = $"{where}, attribute '{a.Name}'";
        node.Attributes.SetValue(a.Name, AttributeType(a) switch
        {
            1 => a.F,
            2 => a.I,
            3 => Text(a.S),
            4 => Tensor(a.T ?? throw OnnxErrors.Attribute(inner, "the tensor is missing"), inner),
            5 => Graph(a.G ?? throw OnnxErrors.Attribute(inner, "the graph is missing"), null, version, scope, depth + 1),
            6 => a.Floats.ToArray(),
            7 => a.Ints.ToArray(),
            8 => a.Strings.Select(s => Text(s) as string ?? throw OnnxErrors.Attribute(inner, "a string in the list is not UTF-8")).ToArray(),
            9 => a.Tensors.Select(t => Tensor(t, inner)).ToArray(),
            10 => a.Graphs.Select(g => Graph(g, null, version, scope, depth + 1)).ToArray(),
            11 => OnnxSparse.Read(a.Name, a.SparseTensor ?? throw OnnxErrors.Attribute(inner, "the tensor is missing"), file, inner).Read(),
            13 => OnnxTypes.Text(a.Tp),
            14 => a.TypeProtos.Select(OnnxTypes.Text).ToArray(),
            int type => throw OnnxErrors.Attribute(inner, $"attributes of type {type} are not known"),
        });
    }

    /// <summary>The declared type; files of the first IR versions declare none.</summary>
    private static int AttributeType(AttributeProto a) => a.Type != 0 ? a.Type
        : a.HasF ? 1 : a.HasI ? 2 : a.HasS ? 3 : a.T is not null ? 4 : a.G is not null ? 5 : a.Floats.Count > 0 ? 6 : a.Ints.Count > 0 ? 7
        : a.Strings.Count > 0 ? 8 : a.Tensors.Count > 0 ? 9 : a.Graphs.Count > 0 ? 10 : a.SparseTensor is not null ? 11 : 0;

    private TensorData Tensor(TensorProto t, string where) => OnnxTensor.Storage(t, null, file, where).Read();

    private static object Text(ByteString bytes)
    {
        try
        {
            return s_strict.GetString(bytes.Span);
        }
        catch (DecoderFallbackException)
        {
            return bytes.ToByteArray();
        }
    }

    /// <summary>Every value that is read exists, in its graph or around it.</summary>
    private void RequireDefined(ModelGraph graph, HashSet<string> outer)
    {
        var defined = new HashSet<string>(outer, StringComparer.Ordinal);
        defined.UnionWith(graph.Weights.Keys);
        defined.UnionWith(graph.Inputs.Select(i => i.Name));
        foreach (Node node in graph.Nodes) defined.UnionWith(node.Outputs);
        foreach (Node node in graph.Nodes)
        {
            foreach (string name in node.Inputs)
            {
                if (name.Length > 0 && !defined.Contains(name))
                    throw OnnxErrors.Names(Where($"node '{node.Name}' ({node.OpType})"), $"the value '{name}' is no input, no weight and no node's output");
            }
            foreach (ModelGraph body in GraphOrder.Bodies(node)) RequireDefined(body, defined);
        }
        foreach (GraphValue output in graph.Outputs)
        {
            if (!defined.Contains(output.Name)) throw OnnxErrors.Names(Where($"graph '{graph.Name}'"), $"the graph output '{output.Name}' is produced by no node");
        }
    }

    /// <summary>Every value defined once; nodes sorted when the file's order is not valid.</summary>
    private void Check(ModelGraph graph, Scope scope)
    {
        scope.Defined.UnionWith(graph.Weights.Keys);
        var produced = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            foreach (string output in node.Outputs)
            {
                if (output.Length == 0) continue;
                if (!produced.Add(output) || scope.Defined.Contains(output))
                    throw OnnxErrors.Names(Where($"node '{node.Name}' ({node.OpType})"), $"the value '{output}' is defined twice");
            }
        }
        try
        {
            GraphOrder.Sort(graph);
        }
        catch (GraphException e)
        {
            throw OnnxErrors.Cycle(Where($"graph '{graph.Name}'"), e);
        }
    }

    /// <summary>Where in the file, for errors.</summary>
    private string Where(string what) => $"{file.Path}, {what}";
}
