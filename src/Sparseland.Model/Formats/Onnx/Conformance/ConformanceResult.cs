namespace Sparseland.Model.Formats.Onnx.Conformance;

/// <summary>How a case ended.</summary>
public enum ConformanceStatus
{
    /// <summary>Every output of every data set is within tolerance.</summary>
    Passed,

    /// <summary>An output differs, or the executor refused what it should compute.</summary>
    Failed,

    /// <summary>The model needs an operator, an element type, a value type or a version that is not supported.</summary>
    Unsupported,
}

/// <summary>The result of one case.</summary>
/// <param name="Name">The case's name.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Deviation">The largest absolute difference between a computed and an expected number; infinite where one is not a number or shapes differ, 0 when nothing was compared.</param>
/// <param name="Reason">What failed, what is not supported, or what was left out of the comparison; null when there is nothing to say.</param>
/// <param name="Unsupported">The operators that are missing, such as <c>Scan</c> or <c>ai.onnx.ml.TreeEnsemble</c>; empty when another reason applies.</param>
public sealed record ConformanceResult(string Name, ConformanceStatus Status, double Deviation, string? Reason, IReadOnlyList<string> Unsupported);

/// <summary>The results of many cases.</summary>
/// <param name="Results">One per case.</param>
public sealed record ConformanceReport(IReadOnlyList<ConformanceResult> Results)
{
    /// <summary>Cases that passed.</summary>
    public int Passed => Results.Count(r => r.Status == ConformanceStatus.Passed);

    /// <summary>Cases that failed.</summary>
    public int Failed => Results.Count(r => r.Status == ConformanceStatus.Failed);

    /// <summary>Cases that need what is not supported.</summary>
    public int Unsupported => Results.Count(r => r.Status == ConformanceStatus.Unsupported);

    /// <summary>The missing operators with the number of cases that need each, most needed first.</summary>
    public IReadOnlyList<(string Operator, int Cases)> MissingOperators =>
    [
        .. Results.SelectMany(r => r.Unsupported.Distinct()).CountBy(o => o, StringComparer.Ordinal)
            .OrderByDescending(p => p.Value).ThenBy(p => p.Key, StringComparer.Ordinal).Select(p => (p.Key, p.Value)),
    ];
}
