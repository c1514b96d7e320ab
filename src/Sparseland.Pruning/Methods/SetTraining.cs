using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Regrowth;

namespace Sparseland.Pruning.Methods;

/// <summary>SET: <see cref="DynamicSparseTraining"/> that grows at random.</summary>
/// <remarks>
/// Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science", Nature Communications 2018. In the form that RigL (ICML 2020) compares
/// with: the smallest magnitudes go, new weights start at zero; the original removes the smallest positive and the largest negative ones and draws new values.
/// </remarks>
public static class SetTraining
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "set",
        Title = "Sparse evolutionary training",
        Paper = "Mocanu et al.: Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science, Nature Communications 2018",
        Section = "section 2",
        Description = "trains sparse from the first step; small weights move at random",
        Stage = PruningStage.During,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Connectivity = new Connectivity("smallest magnitudes of each layer", "random positions, from zero", "every interval, a share that falls along a cosine", "a share of the run, 75 % by default"),
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels,
        Parameters = DynamicSparseTraining.Parameters,
        DefaultSparsity = 0.9,
        Create = r => DynamicSparseTraining.Of("set", r, new RandomRegrowth(), replacesUpdate: false),
    };
}
