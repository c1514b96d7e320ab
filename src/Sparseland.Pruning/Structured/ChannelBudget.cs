namespace Sparseland.Pruning.Structured;

/// <summary>What a budget counts.</summary>
public enum BudgetUnit
{
    /// <summary>Parameters.</summary>
    Parameters,

    /// <summary>Multiply-accumulates of one pass.</summary>
    Macs,
}

/// <summary>How removals are spread over groups.</summary>
public enum ChannelSpread
{
    /// <summary>All units of the model are ranked together: unimportant layers lose more.</summary>
    Global,

    /// <summary>Every group loses the same share.</summary>
    Uniform,
}

/// <summary>A target and the limits within which it is to be met.</summary>
/// <param name="Unit">What is counted.</param>
/// <param name="Keep">The share that may remain, above 0, at most 1.</param>
public sealed record ChannelBudget(BudgetUnit Unit, double Keep)
{
    /// <summary>How removals are spread over groups.</summary>
    public ChannelSpread Spread { get; init; } = ChannelSpread.Global;

    /// <summary>The least share of its units that every group keeps (R22), 0 to 1; one unit always stays.</summary>
    public double Floor { get; init; } = 0.1;

    /// <summary>Rounding of the widths that remain.</summary>
    public WidthRounding Rounding { get; init; } = new();

    /// <summary>Whether a group may be cut, by its name and the names of its weights; null allows all.</summary>
    public Func<ChannelGroup, bool>? Include { get; init; }

    internal void Validate()
    {
        if (!(Keep > 0 && Keep <= 1)) throw new ArgumentOutOfRangeException(nameof(Keep), Keep, "The share that remains must be above 0 and at most 1.");
        if (!(Floor >= 0 && Floor <= 1)) throw new ArgumentOutOfRangeException(nameof(Floor), Floor, "The floor must be between 0 and 1.");
    }
}
