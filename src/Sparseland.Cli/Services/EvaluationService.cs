using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Sparseland.Training.Data;
using Sparseland.Training.Metrics;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Services;

/// <summary>Evaluates models on the runtime, the engine that users deploy.</summary>
internal static class EvaluationService
{
    /// <summary>Accuracy and loss, or perplexity, of a model.</summary>
    /// <param name="context">The running verb.</param>
    /// <param name="graph">The model.</param>
    /// <param name="data">Data that fits it.</param>
    /// <param name="batch">Samples per forward pass.</param>
    /// <param name="limit">Only the first samples; null takes all.</param>
    /// <param name="title">What the progress display says.</param>
    /// <param name="part">The samples; the data's held-out part when null.</param>
    /// <param name="calibration">Is given every prediction; null when nobody asks how sure the model is.</param>
    public static Task<Evaluation> EvaluateAsync(VerbContext context, ModelGraph graph, OpenedData data, int batch, int? limit = null, string title = "evaluating", IDataset? part = null, Calibration? calibration = null)
    {
        IDataset samples = part ?? data.Source.ForEvaluation;
        int total = Math.Min(limit ?? int.MaxValue, samples.Count);
        if (context.Settings.MemoryLimit is not null)
        {
            ModelCost cost = ModelCost.Of(graph, Verbs.InspectVerb.BatchTypes(graph, Math.Max(1, Math.Min(batch, total))), countZeros: false);
            context.RequireMemory(cost.WeightBytes + cost.PeakActivationBytes, $"evaluating at batch {batch}");
        }
        var session = new InferenceSession(graph, MachineTable.Options());
        string output = graph.Outputs[0].Name;
        string input = graph.Inputs[0].Name;
        return context.TrackAsync(title, total, work =>
        {
            var options = new EvaluationOptions
            {
                BatchSize = batch,
                Normalization = data.Normalization,
                Limit = limit,
                Progress = new Forward(p => work.Report(p.Done)),
            };
            return Evaluator.Evaluate(
                b =>
                {
                    TensorData logits = session.Run(new Dictionary<string, TensorData> { [input] = Convert(b.Inputs, graph.Inputs[0].Type.ElementType) }, context.Cancellation)[output];
                    // Outputs that do not fit the targets are the evaluator's to refuse, with its message.
                    if (logits.Rank > 0 && logits.Length == (long)b.Targets.Length * logits.Shape[^1] && Array.TrueForAll(b.Targets, t => t < logits.Shape[^1])) calibration?.Add(logits.ToSingles(), b.Targets);
                    return logits;
                },
                samples, options, context.Cancellation);
        });
    }

    /// <summary>The evaluation as the command line's JSON.</summary>
    public static JsonObject ToJson(Evaluation e, bool text, Calibration? calibration = null)
    {
        if (text) return new JsonObject { ["tokens"] = e.Scored, ["perplexity"] = Finite(e.Perplexity), ["bitsPerByte"] = Finite(e.BitsPerByte), ["loss"] = Finite(e.Loss) };
        var json = new JsonObject { ["samples"] = e.Samples, ["top1"] = e.Top1, ["top5"] = e.Top5, ["loss"] = Finite(e.Loss) };
        if (calibration is { Count: > 0 } && double.IsFinite(calibration.ExpectedError)) json["calibrationError"] = calibration.ExpectedError;
        return json;
    }

    // JSON has no word for what is no number.
    private static double? Finite(double? value) => value is { } v && double.IsFinite(v) ? v : null;

    private static TensorData Convert(TensorData value, ElementType wanted) =>
        wanted == ElementType.Int32 && value.ElementType == ElementType.Int64
            ? TensorData.Wrap(Array.ConvertAll(value.Array<long>(), v => (int)v), value.Shape)
            : value;

    private sealed class Forward(Action<(int Done, int Total)> action) : IProgress<(int Done, int Total)>
    {
        public void Report((int Done, int Total) value) => action(value);
    }
}
