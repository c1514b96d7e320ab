using Sparseland.Model.Formats.Onnx.Conformance;
using Xunit.Abstractions;

namespace Sparseland.Runtime.Tests;

/// <summary>The conformance cases of the ONNX standard through compiled plans.</summary>
public sealed class ConformanceTests(ITestOutputHelper output)
{
    [SkippableFact]
    public void Every_supported_case_of_the_standard_passes_through_the_runtime()
    {
        string root = TestData.Require("onnx-conformance");
        var suite = new ConformanceSuite((graph, inputs) => new InferenceSession(graph).Run(inputs));
        ConformanceReport report = suite.RunAll(root);
        output.WriteLine($"{report.Passed} passed, {report.Failed} failed, {report.Unsupported} unsupported");
        foreach ((string op, int cases) in report.MissingOperators) output.WriteLine($"  missing {op}: {cases}");
        foreach (ConformanceResult r in report.Results.Where(r => r.Status == ConformanceStatus.Unsupported && r.Unsupported.Count == 0)) output.WriteLine($"  unsupported {r.Name}: {r.Reason}");
        string failures = string.Join(Environment.NewLine, report.Results.Where(r => r.Status == ConformanceStatus.Failed).Select(r => $"{r.Name}: {r.Reason}"));
        output.WriteLine(failures);
        Assert.True(report.Failed == 0, failures);
        Assert.True(report.Passed >= 770, $"{report.Passed} passed");
    }
}
