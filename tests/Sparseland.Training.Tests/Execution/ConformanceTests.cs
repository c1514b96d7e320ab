using Sparseland.Model.Formats.Onnx.Conformance;
using Sparseland.Model.Graph;
using Xunit.Abstractions;

namespace Sparseland.Training.Tests.Execution;

/// <summary>The conformance cases of the ONNX standard through the training executor's forward.</summary>
public sealed class ConformanceTests(ITestOutputHelper output)
{
    [SkippableFact]
    public void CasesOfTheStandardPassThroughTheTrainingExecutor()
    {
        var suite = new ConformanceSuite(Run);
        ConformanceReport report = suite.RunAll(TestData.Require("onnx-conformance"));
        output.WriteLine($"{report.Passed} passed, {report.Failed} failed, {report.Unsupported} unsupported");
        foreach ((string op, int cases) in report.MissingOperators) output.WriteLine($"  missing {op}: {cases}");
        string[] failed = [.. report.Results.Where(r => r.Status == ConformanceStatus.Failed).Select(r => $"{r.Name}: {r.Reason}")];
        Assert.True(failed.Length == 0, string.Join(Environment.NewLine, failed));
        Assert.True(report.Passed >= 770, $"{report.Passed} passed");
    }

    private static Dictionary<string, TensorData> Run(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs)
    {
        var model = new TrainableModel(graph) { IsTraining = false };
        IReadOnlyDictionary<string, ModelValue> outputs = model.Forward(inputs.ToDictionary(i => i.Key, i => (ModelValue)i.Value));
        return outputs.Where(o => !o.Value.IsEmpty).ToDictionary(o => o.Key, o => o.Value.Data);
    }
}
