using Sparseland.Model.Graph;

namespace Sparseland.Training.Tests.Operators;

/// <summary>An input of an operator under test: values that are differentiated, a constant, or nothing.</summary>
public sealed record CaseInput(int[] Shape, Func<Random, int, float>? Value, TensorData? Constant)
{
    public static CaseInput None { get; } = new([], null, null);
}

/// <summary>One row of the table: an operator, its inputs and attributes.</summary>
public sealed record OperatorCase(string Name, string OpType, CaseInput[] Inputs, Action<NodeAttributes>? Attributes = null)
{
    public int Outputs { get; init; } = 1;

    /// <summary>Whether the node's plain definition computes the same (not for batch statistics and dropout while training).</summary>
    public bool HasReference { get; init; } = true;

    public override string ToString() => Name;

    /// <summary>Differentiated values, uniform in [-1, 1] but at least 0.05 away from the kink at 0.</summary>
    public static CaseInput P(params int[] shape) => new(shape, (random, _) =>
    {
        float v = 0.05f + (0.95f * random.NextSingle());
        return random.Next(2) == 0 ? v : -v;
    }, null);

    /// <summary>Differentiated values, uniform in [low, high].</summary>
    public static CaseInput Between(float low, float high, params int[] shape) => new(shape, (random, _) => low + ((high - low) * random.NextSingle()), null);

    /// <summary>Differentiated values, all different by at least 0.05, in random order: extremes have no ties.</summary>
    public static CaseInput Distinct(params int[] shape) => new(shape, (random, i) => (((i * 7919) + 13) % 10007 * 0.05f % 9.7f) - 4 + (0.0001f * i), null);

    public static CaseInput Ints(params long[] values) => new([values.Length], null, TensorData.Vector(values));

    public static CaseInput Constant(TensorData data) => new(data.Shape.ToArray(), null, data);
}
