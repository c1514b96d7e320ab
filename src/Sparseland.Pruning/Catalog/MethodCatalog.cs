using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;

namespace Sparseland.Pruning.Catalog;

/// <summary>Every method, as an explicit list: one line here; the description stands in the method's own file.</summary>
public static class MethodCatalog
{
    /// <summary>All methods in the order in which they are listed.</summary>
    public static IReadOnlyList<MethodInfo> All { get; } =
    [
        MagnitudePruning.Info,
        RateDistortionPruning.Info,
        RandomPruning.Info,
        SnipPruning.Info,
        GraspPruning.Info,
        SynFlowPruning.Info,
        ForcePruning.Info,
        LotteryTicket.Info,
        ActivatingTickets.Info,
        SparsityInformedPruning.Info,
        GradualPruning.Info,
        RiglTraining.Info,
        SetTraining.Info,
        StaticTraining.Info,
        GraNet.Info,
        LotteryJackpots.Info,
        BilevelPruning.Info,
        SparseSoups.Info,
        IterativeShrinkage.Info,
        WandaPruning.Info,
        ChannelPruning.Info,
        PreCropping.Info,
        BlockRemoval.Info,
        NodeSearch.Info,
    ];

    /// <summary>The method of that id, or null.</summary>
    public static MethodInfo? Find(string id) => All.FirstOrDefault(m => string.Equals(m.Id, id, StringComparison.OrdinalIgnoreCase));

    /// <summary>The method of that id.</summary>
    /// <exception cref="PruningException">SL4011: there is none; near misses are named.</exception>
    public static MethodInfo Get(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        if (Find(id) is { } method) return method;
        string[] near = [.. All.Select(m => m.Id).Where(m => NameFilter.Distance(m, id.ToLowerInvariant()) <= 2)];
        throw new PruningException("SL4011", $"there is no method '{id}'") { Try = near.Length > 0 ? "did you mean " + string.Join(", ", near) : "methods: " + string.Join(", ", All.Select(m => m.Id)) };
    }
}
