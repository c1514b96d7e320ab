using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Onnx.Conformance;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>The conformance cases of the ONNX standard through the reference evaluator, and the suite itself.</summary>
public sealed class ConformanceTests(ITestOutputHelper output)
{
    [SkippableFact]
    public void Cases_of_the_standard_pass_through_the_reference_evaluator()
    {
        string root = TestData.Require("onnx-conformance");
        var suite = new ConformanceSuite((graph, inputs) => GraphEvaluator.Run(graph, inputs));
        ConformanceReport report = suite.RunAll(root);
        output.WriteLine($"{report.Passed} passed, {report.Failed} failed, {report.Unsupported} unsupported");
        foreach ((string op, int cases) in report.MissingOperators) output.WriteLine($"  missing {op}: {cases}");
        foreach (ConformanceResult r in report.Results.Where(r => r.Status == ConformanceStatus.Unsupported && r.Unsupported.Count == 0)) output.WriteLine($"  unsupported {r.Name}: {r.Reason}");
        foreach (ConformanceResult r in report.Results.Where(r => r.Status == ConformanceStatus.Failed)) output.WriteLine($"  FAILED {r.Name}: {r.Reason}");
        Assert.Equal(0, report.Failed);
        Assert.True(report.Passed >= 800, $"{report.Passed} passed");
    }
}
