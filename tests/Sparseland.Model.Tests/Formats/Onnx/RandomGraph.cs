using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Graphs with every kind of attribute, weight, type and nesting; they mean nothing and need not run.</summary>
internal static class RandomGraph
{
    private static readonly ElementType[] s_types = [.. Enum.GetValues<ElementType>().Where(t => t != ElementType.Undefined)];

    internal static ModelGraph Make(int seed) => Make(new Random(seed), $"graph {seed} ä", [], 0);

    private static ModelGraph Make(Random random, string name, List<string> outer, int depth)
    {
        string prefix = $"{name}/{depth}.{random.Next(1_000_000)}/";
        var graph = new ModelGraph(name);
        var values = new List<string>(outer);
        for (int i = random.Next(1, 4); i > 0; i--)
        {
            var input = new GraphValue($"{prefix}in{i}", Type(random)) { ForeignType = random.Next(6) switch { 0 => "seq(tensor(float))", 1 => "map(string, optional(tensor(int64)))", _ => null } };
            if (input.ForeignType is not null) input = input with { Type = new TensorType(ElementType.Undefined, null) };
            graph.Inputs.Add(input);
            values.Add(input.Name);
        }
        for (int i = random.Next(5); i > 0; i--)
        {
            graph.AddWeight(Weight(random, $"{prefix}w{i}"));
            values.Add($"{prefix}w{i}");
        }
        for (int i = random.Next(1, 9); i > 0; i--)
        {
            string domain = random.Next(5) == 0 ? "example.domain" : "";
            var node = new Node($"{prefix}n{i}", domain.Length > 0 ? "Custom" : random.Next(3) == 0 ? "Unheard" : "Add",
                [.. Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(6) == 0 ? "" : values[random.Next(values.Count)])],
                [.. Enumerable.Range(0, random.Next(1, 4)).Select(o => random.Next(6) == 0 ? "" : $"{prefix}v{i}.{o}")], domain);
            for (int a = random.Next(5); a > 0; a--) node.Attributes.SetValue($"a{random.Next(20)}", Attribute(random, values, depth));
            graph.Nodes.Add(node);
            values.AddRange(node.Outputs.Where(o => o.Length > 0));
        }
        graph.Outputs.Add(new GraphValue(values[^1], Type(random)));
        if (depth > 0) return graph;
        for (int i = random.Next(3); i > 0; i--) graph.Metadata[$"key {i}"] = $"line\n{random.Next()}";
        graph.CustomDomains["example.domain"] = random.Next(1, 9);
        return graph;
    }

    private static TensorType Type(Random random)
    {
        if (random.Next(8) == 0) return new TensorType(ElementType.Undefined, null);
        TensorShape? shape = random.Next(5) == 0
            ? null
            : new TensorShape([.. Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(3) switch { 0 => Dimension.Named("batch"), 1 => Dimension.Unknown, _ => random.Next(0, 5) })]);
        return new TensorType(s_types[random.Next(s_types.Length)], shape);
    }

    private static Weight Weight(Random random, string name)
    {
        TensorData data = Tensor(random);
        var weight = new Weight(name, data);
        if (data.ElementType == ElementType.String || random.Next(2) == 0) return weight;
        var flags = new bool[data.Length];
        for (int i = 0; i < flags.Length; i++) flags[i] = random.Next(2) == 0;
        weight.SetMask(Mask.FromFlags(data.Shape, flags));
        return weight;
    }

    private static TensorData Tensor(Random random)
    {
        int[] shape = [.. Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(random.Next(6) == 0 ? 0 : 1, 6))];
        TensorData data = TensorData.Zeros(s_types[random.Next(s_types.Length)], shape);
        switch (data.ElementType)
        {
            case ElementType.String:
                foreach (ref string s in data.Span<string>()) s = $"text {random.Next()} µ";
                break;
            case ElementType.Bool:
                foreach (ref bool b in data.Span<bool>()) b = random.Next(2) == 0;
                break;
            default:
                random.NextBytes(data.Bytes());
                break;
        }
        return data;
    }

    private static object Attribute(Random random, List<string> values, int depth) => random.Next(depth < 2 ? 11 : 9) switch
    {
        0 => random.NextInt64(long.MinValue, long.MaxValue),
        1 => random.Next(4) == 0 ? 0f : BitConverter.Int32BitsToSingle(random.Next()),
        2 => random.Next(4) == 0 ? "" : $"text {random.Next()} ß",
        3 => Enumerable.Range(0, random.Next(5)).Select(_ => random.NextInt64()).ToArray(),
        4 => Enumerable.Range(0, random.Next(5)).Select(_ => random.NextSingle()).ToArray(),
        5 => Enumerable.Range(0, random.Next(5)).Select(i => $"s{i}").ToArray(),
        6 => Tensor(random),
        7 => new[] { Tensor(random), Tensor(random) },
        8 => new byte[] { 0xFF, 0xFE, (byte)random.Next(256) },
        9 => Make(random, "body", values, depth + 1),
        _ => new[] { Make(random, "first", values, depth + 1), Make(random, "second", values, depth + 1) },
    };
}
