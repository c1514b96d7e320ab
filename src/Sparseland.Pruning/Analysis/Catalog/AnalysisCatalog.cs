using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Every analysis, as an explicit list: one line here; the description stands in the analysis' own file.</summary>
public static class AnalysisCatalog
{
    /// <summary>All analyses in the order in which they are listed.</summary>
    public static IReadOnlyList<AnalysisInfo> All { get; } =
    [
        SensitivityAnalysis.Info,
        PqIndexAnalysis.Info,
        EssentialSparsityAnalysis.Info,
        OverlapAnalysis.Info,
        StabilityAnalysis.Info,
        ConnectivityAnalysis.Info,
        InstabilityAnalysis.Info,
        PlasticityAnalysis.Info,
        ThreeRegimesAnalysis.Info,
        OracleAnalysis.Info,
        RobustnessAnalysis.Info,
        ReliabilityAnalysis.Info,
    ];

    /// <summary>The analysis of that id, or null.</summary>
    public static AnalysisInfo? Find(string id) => All.FirstOrDefault(a => string.Equals(a.Id, id, StringComparison.OrdinalIgnoreCase));

    /// <summary>The analysis of that id.</summary>
    /// <exception cref="PruningException">SL4024: there is none; near misses are named.</exception>
    public static AnalysisInfo Get(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        if (Find(id) is { } analysis) return analysis;
        string[] near = [.. All.Select(a => a.Id).Where(a => NameFilter.Distance(a, id.ToLowerInvariant()) <= 2 || a.Contains(id, StringComparison.OrdinalIgnoreCase))];
        throw new PruningException("SL4024", $"there is no analysis '{id}'") { Try = near.Length > 0 ? "did you mean " + string.Join(", ", near) : "analyses: " + string.Join(", ", All.Select(a => a.Id)) };
    }
}
