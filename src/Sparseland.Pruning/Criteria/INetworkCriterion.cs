using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;

namespace Sparseland.Pruning.Criteria;

/// <summary>What a criterion of the whole network looks at; arrays are in the weights' own order and must not be written.</summary>
/// <param name="Layers">The layers that are scored.</param>
/// <param name="Weights">Their values before this pruning began: entries that an earlier round removed still have them.</param>
public sealed record NetworkScoreInput(IReadOnlyList<PrunableLayer> Layers, IReadOnlyList<float[]> Weights)
{
    /// <summary>Entries that are kept at present; null = all.</summary>
    public required IReadOnlyList<bool[]?> Alive { get; init; }

    /// <summary>Runs the network; null when there is none to run. Its layers hold the weights with the present masks applied when scoring starts.</summary>
    public NetworkProbe? Probe { get; init; }

    /// <summary>Round of scoring, from 0.</summary>
    public int Round { get; init; }

    /// <summary>Seed of random criteria.</summary>
    public long Seed { get; init; }

    /// <summary>The probe.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public NetworkProbe RequireProbe() => Probe ?? throw new ArgumentException("The criterion needs a network that can be run.");

    /// <summary>Values of a layer with the present mask applied: a copy.</summary>
    public float[] Masked(int layer)
    {
        float[] values = [.. Weights[layer]];
        if (Alive[layer] is not { } alive) return values;
        for (int i = 0; i < values.Length; i++)
        {
            if (!alive[i]) values[i] = 0;
        }
        return values;
    }
}

/// <summary>How much does each weight matter, seen over the whole network? Higher scores are kept.</summary>
/// <remarks>For criteria that run the network: several rounds of scoring call it again under the masks of the round before.</remarks>
public interface INetworkCriterion
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>What must be there.</summary>
    CriterionNeeds Needs { get; }

    /// <summary>One score per weight of every layer, in the weight's own order.</summary>
    float[][] Score(NetworkScoreInput input);
}

/// <summary>Scores layer by layer with an <see cref="ICriterion"/>, after it computed the gradients that this one asks for.</summary>
/// <remarks>
/// The gradient is taken at the masked network, the criterion is given the weights as they were before any round: with SNIP's product this is the score of
/// de Jorge et al., "Progressive Skeletonization: Trimming more fat from a network at initialization" (FORCE), ICLR 2021, equation 6.
/// </remarks>
/// <param name="criterion">The criterion.</param>
/// <param name="batches">Batches over which gradients are averaged.</param>
/// <param name="masked">Whether the criterion is given masked weights instead (Iter-SNIP).</param>
public sealed class LayerwiseScoring(ICriterion criterion, int batches = 1, bool masked = false) : INetworkCriterion
{
    private readonly int _batches = batches >= 1 ? batches : throw new ArgumentOutOfRangeException(nameof(batches), batches, "At least 1.");

    /// <inheritdoc/>
    public string Id => criterion.Id;

    /// <inheritdoc/>
    public CriterionNeeds Needs => criterion.Needs;

    /// <inheritdoc/>
    public float[][] Score(NetworkScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        float[][]? gradients = Needs.HasFlag(CriterionNeeds.Gradients) ? input.RequireProbe().Gradients(input.Layers, input.RequireProbe().Batches(_batches)) : null;
        return [.. input.Layers.Select((layer, l) => criterion.Score(new ScoreInput(layer, masked ? input.Masked(l) : input.Weights[l]) { Gradient = gradients?[l], Seed = input.Seed }))];
    }
}
