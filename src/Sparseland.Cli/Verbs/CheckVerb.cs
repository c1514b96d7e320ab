using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Model.Formats.Onnx.Conformance;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Sparseland.Training;

namespace Sparseland.Cli.Verbs;

/// <summary>Runs every conformance case below a folder (the layout of the ONNX backend tests) through an executor.</summary>
internal sealed class CheckVerb : Verb
{
    private readonly Argument<string> _folder = new("folder") { Description = "A folder with cases: model.onnx, test_data_set_*/input_*.pb, output_*.pb." };

    private readonly Option<string> _executor = new("--executor") { Description = "runtime or training.", DefaultValueFactory = _ => "runtime" };

    protected override (string Name, string Description) Title => ("check", "Run ONNX conformance cases through an executor.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        _executor.AcceptOnlyFromAmong("runtime", "training");
        command.Arguments.Add(_folder);
        command.Options.Add(_executor);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string folder = arguments.GetValue(_folder)!;
        if (!Directory.Exists(folder)) throw new VerbException(ExitCodes.BadInputFile, "SL1000", $"there is no folder '{folder}'");
        int cases = ConformanceCase.Find(folder).Count;
        if (cases == 0) throw new VerbException(ExitCodes.BadInputFile, "SL1000", $"no conformance case below '{folder}'") { Try = "point at a folder that holds folders with model.onnx and test_data_set_0" };
        if (context.Settings.DryRun)
        {
            context.Say($"would run {cases} cases through the {arguments.GetValue(_executor)} executor");
            return ExitCodes.Done;
        }
        ConformanceExecutor execute = arguments.GetValue(_executor) == "training" ? RunTraining : (graph, inputs) => new InferenceSession(graph, MachineTable.Options()).Run(inputs);
        ConformanceReport report = await context.TrackAsync("checking", cases, work =>
        {
            int done = 0;
            return new ConformanceSuite(execute).RunAll(folder, _ => work.Report(++done), context.Cancellation);
        }).ConfigureAwait(false);
        return Report(context, report);
    }

    private static int Report(VerbContext context, ConformanceReport report)
    {
        foreach (ConformanceResult r in report.Results.Where(r => r.Status == ConformanceStatus.Failed)) context.Say($"failed       {r.Name}: deviation {r.Deviation:G3}  {r.Reason}");
        foreach ((string op, int count) in report.MissingOperators) context.Say($"unsupported  {count,4}  {op}");
        foreach (IGrouping<string, ConformanceResult> other in report.Results.Where(r => r.Status == ConformanceStatus.Unsupported && r.Unsupported.Count == 0).GroupBy(r => r.Reason ?? "").OrderByDescending(g => g.Count()))
            context.Say($"unsupported  {other.Count(),4}  {other.Key}");
        context.Say($"{report.Passed} passed, {report.Failed} failed, {report.Unsupported} unsupported");
        context.Result(new JsonObject
        {
            ["passed"] = report.Passed,
            ["failed"] = report.Failed,
            ["unsupported"] = report.Unsupported,
            ["cases"] = new JsonArray([.. report.Results.Select(r => (JsonNode)new JsonObject
            {
                ["name"] = r.Name, ["outcome"] = r.Status.ToString().ToLowerInvariant(), ["largestDeviation"] = double.IsFinite(r.Deviation) ? r.Deviation : null,
                ["reason"] = r.Reason, ["unsupported"] = new JsonArray([.. r.Unsupported.Select(u => (JsonNode)u)]),
            })]),
        });
        return report.Failed > 0 ? ExitCodes.GateNotMet : ExitCodes.Done;
    }

    private static Dictionary<string, TensorData> RunTraining(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs)
    {
        var model = new TrainableModel(graph) { IsTraining = false };
        IReadOnlyDictionary<string, ModelValue> outputs = model.Forward(inputs.ToDictionary(i => i.Key, i => new ModelValue(i.Value)));
        return outputs.ToDictionary(o => o.Key, o => o.Value.Data);
    }
}
