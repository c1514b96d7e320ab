namespace Sparseland.Model.Operators.Coupling;

/// <summary>Why entries of an axis cannot be removed. The numbers are the stable codes SL2101, SL2102 ...; docs/refusals.md explains each.</summary>
public enum RefusalReason
{
    /// <summary>An operator that is not known, or that says nothing about its axes, touches the axis.</summary>
    UnknownOperator = 2101,

    /// <summary>The axis is an axis of a graph input: callers would have to feed another shape.</summary>
    FeedsGraphInput = 2102,

    /// <summary>The axis is an axis of a graph output: callers would receive another shape.</summary>
    FeedsGraphOutput = 2103,

    /// <summary>A size is unknown or computed while the model runs, so that it cannot be said which entries belong together.</summary>
    DynamicShape = 2104,

    /// <summary>One weight is used in several places whose cuts cannot all be met except by removing everything.</summary>
    SharedWeight = 2105,

    /// <summary>The groups of a convolution or normalisation could not stay equally large.</summary>
    GroupDivisibility = 2106,

    /// <summary>The numbers of query, key and value heads would no longer fit each other (a single key/value head is one such case).</summary>
    HeadArithmetic = 2107,

    /// <summary>Removing more would leave fewer entries than the floor allows; never fewer than one.</summary>
    FloorReached = 2108,

    /// <summary>A name filter keeps it.</summary>
    ExcludedByUser = 2109,

    /// <summary>It could be removed, but would not pay: kept dense.</summary>
    BelowBreakEven = 2110,

    /// <summary>A normalisation or softmax runs over the axis: its statistics would change with every entry that leaves.</summary>
    NormalizedAxis = 2111,

    /// <summary>The operator needs all entries of the axis in their places (window, image height, sequence position, sorting).</summary>
    FixedAxis = 2112,

    /// <summary>Entries are picked by integers that are computed while the model runs (vocabulary rows).</summary>
    IndexedAxis = 2113,

    /// <summary>The axis is an inner factor of a reshape whose other factor is the one that can be cut.</summary>
    ReshapeFactor = 2114,

    /// <summary>Entries are summed although they need not be zero after their weights are: removal would change the sum.</summary>
    NonZeroSum = 2115,

    /// <summary>The value crosses the border of a nested graph (If, Loop, Scan).</summary>
    NestedGraph = 2116,
}

/// <summary>Facts about refusals.</summary>
public static class RefusalReasons
{
    /// <summary>The stable code, such as SL2104.</summary>
    public static string Code(this RefusalReason reason) => "SL" + (int)reason;

    /// <summary>What a user can do about it, one sentence.</summary>
    public static string Advice(this RefusalReason reason) => reason switch
    {
        RefusalReason.UnknownOperator => "exclude the layers around the operator, or add a coupling to it (CONTRIBUTING, 'Add an operator')",
        RefusalReason.FeedsGraphInput or RefusalReason.FeedsGraphOutput => "nothing to do: the model's interface is kept as it is",
        RefusalReason.DynamicShape => "give the inputs fixed sizes, or fold constants first: sparseland convert MODEL --fold -o folded.onnx",
        RefusalReason.SharedWeight => "give each use a weight of its own if they may differ",
        RefusalReason.GroupDivisibility => "remove fewer entries, or none from this layer",
        RefusalReason.HeadArithmetic => "prune other layers: this attention has no head to spare",
        RefusalReason.FloorReached => "lower the target, or the floor of this group",
        RefusalReason.ExcludedByUser => "change the filter to include it",
        RefusalReason.BelowBreakEven => "raise the sparsity, or accept the dense kernel here",
        RefusalReason.NormalizedAxis => "prune the layers inside the residual blocks; the normalised stream keeps its width",
        RefusalReason.FixedAxis or RefusalReason.ReshapeFactor => "nothing to do: this is not a feature axis",
        RefusalReason.IndexedAxis => "remove vocabulary entries with the tokenizer, not as channels",
        RefusalReason.NonZeroSum => "prune other layers, or rewrite the sum behind an activation that maps zero to zero",
        RefusalReason.NestedGraph => "inline the nested graph first",
        _ => "see docs/refusals.md",
    };
}
