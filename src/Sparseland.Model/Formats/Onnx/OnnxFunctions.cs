using Google.Protobuf.Collections;
using Sparseland.Model.Formats.Onnx.Proto;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Operators that a file defines itself, expanded where they are used.</summary>
internal sealed class OnnxFunctions
{
    private const int MaxNodes = 200_000;

    private readonly Dictionary<(string Domain, string Name, string Overload), FunctionProto> _functions = [];
    private readonly string _path;
    private int _expanded;

    private OnnxFunctions(string path) => _path = path;

    /// <summary>The domains in which the file defines functions.</summary>
    internal HashSet<string> Domains { get; } = new(StringComparer.Ordinal);

    /// <summary>Nodes that came out of a function, with the opset in which that function is written.</summary>
    internal Dictionary<NodeProto, int> Versions { get; } = new(ReferenceEqualityComparer.Instance);

    /// <summary>The functions of a model.</summary>
    /// <exception cref="ModelFormatException">SL1110: two functions have one name.</exception>
    internal static OnnxFunctions Of(ModelProto model, string path)
    {
        var result = new OnnxFunctions(path);
        foreach (FunctionProto function in model.Functions)
        {
            var key = (OnnxNames.Domain(function.Domain), function.Name, function.Overload);
            if (!result._functions.TryAdd(key, function))
                throw OnnxErrors.Function(path, $"the function '{function.Domain}.{function.Name}' is defined twice");
            result.Domains.Add(key.Item1);
        }
        return result;
    }

    /// <summary>The nodes of a graph, calls replaced by what they stand for.</summary>
    internal IEnumerable<NodeProto> Expand(RepeatedField<NodeProto> nodes, OnnxNames names)
    {
        if (_functions.Count == 0) return nodes;
        var result = new List<NodeProto>(nodes.Count);
        foreach (NodeProto node in nodes) Expand(node, names, result, 0);
        return result;
    }

    private void Expand(NodeProto node, OnnxNames names, List<NodeProto> result, int depth)
    {
        if (!_functions.TryGetValue((OnnxNames.Domain(node.Domain), node.OpType, node.Overload), out FunctionProto? function))
        {
            result.Add(node);
            return;
        }
        string where = $"{_path}, function '{function.Name}'";
        if (depth >= OnnxReader.MaxDepth) throw OnnxErrors.Function(where, $"functions call each other more than {OnnxReader.MaxDepth} deep; a function may not call itself");
        if (node.Input.Count > function.Input.Count || node.Output.Count > function.Output.Count)
            throw OnnxErrors.Function(where, $"node '{node.Name}' passes {node.Input.Count} inputs and takes {node.Output.Count} outputs; the function has {function.Input.Count} and {function.Output.Count}");

        string prefix = node.Name.Length > 0 ? node.Name : node.Output.FirstOrDefault(o => o.Length > 0) ?? function.Name;
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        for (int i = 0; i < function.Input.Count; i++) map[function.Input[i]] = i < node.Input.Count ? node.Input[i] : "";
        var passed = new List<NodeProto>();
        for (int i = 0; i < node.Output.Count; i++)
        {
            string outer = node.Output[i];
            if (outer.Length == 0) continue;
            // An output that is an input, or that was handed out before, needs a node of its own.
            if (map.TryGetValue(function.Output[i], out string? known))
                passed.Add(new NodeProto { Name = names.Fresh($"{prefix}/{function.Output[i]}"), OpType = "Identity", Input = { known }, Output = { outer } });
            else map[function.Output[i]] = outer;
        }

        int version = 0;
        foreach (OperatorSetIdProto set in function.OpsetImport)
        {
            if (OnnxNames.Domain(set.Domain).Length != 0) continue;
            OnnxReader.RequireOpset(where, set.Version);
            version = (int)set.Version;
        }
        foreach (NodeProto inner in function.Node)
        {
            if (++_expanded > MaxNodes) throw OnnxErrors.Function(where, $"the functions of this file expand to more than {MaxNodes} nodes");
            NodeProto copy = Rename(inner.Clone(), map, names, prefix, node, function, where);
            copy.Name = names.Fresh($"{prefix}/{(inner.Name.Length > 0 ? inner.Name : inner.OpType)}");
            if (version > 0) Versions[copy] = version;
            Expand(copy, names, result, depth + 1);
        }
        result.AddRange(passed);
    }

    private static NodeProto Rename(NodeProto node, Dictionary<string, string> map, OnnxNames names, string prefix, NodeProto call, FunctionProto function, string where)
    {
        for (int i = 0; i < node.Input.Count; i++)
        {
            if (node.Input[i].Length > 0) node.Input[i] = map.TryGetValue(node.Input[i], out string? name) ? name : Define(node.Input[i]);
        }
        for (int i = 0; i < node.Output.Count; i++)
        {
            if (node.Output[i].Length > 0) node.Output[i] = map.TryGetValue(node.Output[i], out string? name) ? name : Define(node.Output[i]);
        }
        for (int i = node.Attribute.Count - 1; i >= 0; i--)
        {
            AttributeProto attribute = node.Attribute[i];
            if (attribute.RefAttrName.Length > 0)
            {
                AttributeProto? value = call.Attribute.FirstOrDefault(a => a.Name == attribute.RefAttrName)
                    ?? function.AttributeProto.FirstOrDefault(a => a.Name == attribute.RefAttrName);
                if (value is null)
                {
                    node.Attribute.RemoveAt(i);
                    continue;
                }
                node.Attribute[i] = attribute = WithName(value, attribute.Name);
            }
            else
            {
                if (attribute.G is not null) RenameBody(attribute.G);
                foreach (GraphProto g in attribute.Graphs) RenameBody(g);
            }
        }
        return node;

        string Define(string inner) => map[inner] = names.Fresh($"{prefix}/{inner}");

        static AttributeProto WithName(AttributeProto value, string name)
        {
            AttributeProto copy = value.Clone();
            copy.Name = name;
            return copy;
        }

        void RenameBody(GraphProto body)
        {
            // What the body defines shadows what is around it, and must not collide with another expansion's names.
            var local = new Dictionary<string, string>(map, StringComparer.Ordinal);
            foreach (ValueInfoProto v in body.Input) v.Name = local[v.Name] = names.Fresh($"{prefix}/{v.Name}");
            foreach (TensorProto t in body.Initializer) t.Name = local[t.Name] = names.Fresh($"{prefix}/{t.Name}");
            foreach (NodeProto n in body.Node)
            {
                foreach (string o in n.Output.Where(o => o.Length > 0)) local[o] = names.Fresh($"{prefix}/{o}");
            }
            foreach (NodeProto n in body.Node) Rename(n, local, names, prefix, call, function, where);
            foreach (ValueInfoProto v in body.Output) v.Name = local.GetValueOrDefault(v.Name, v.Name);
            body.ValueInfo.Clear();
        }
    }
}
