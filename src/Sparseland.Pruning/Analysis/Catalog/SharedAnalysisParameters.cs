using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Parameters and words that several analyses have.</summary>
internal static class SharedAnalysisParameters
{
    public static MethodParameter Limit(int samples, string what = "samples that are looked at") => new("limit", ParameterType.Integer, samples.ToString(), what + "; 0 = all") { Min = 0, Max = int.MaxValue };

    public static MethodParameter Epochs(string epochs, string what) => new("epochs", ParameterType.Number, epochs, what) { Min = 0, Max = 10_000 };

    public static MethodParameter LearningRate(string rate) => new("learning-rate", ParameterType.Number, rate, "highest learning rate") { Min = 1e-9, Max = 1000 };

    public static MethodParameter Batch { get; } = new("batch", ParameterType.Integer, "64", "samples per step of training") { Min = 1, Max = 1 << 20 };

    public static MethodParameter Schedule(string fallback) => new("schedule", ParameterType.Choice, fallback, "learning rate by step") { Choices = ["cosine", "one-cycle", "linear", "step", "constant"] };

    /// <summary>How the analysis' networks are trained.</summary>
    public static TrainingPlan Plan(AnalysisRequest r, double? epochs = null) => new()
    {
        Epochs = epochs ?? r.Arguments.Number("epochs"),
        Steps = (epochs ?? r.Arguments.Number("epochs")) == 0 ? 0 : null,
        BatchSize = Math.Min(r.Arguments.Int("batch"), r.Data!.ForTraining.Count),
        LearningRate = r.Arguments.Number("learning-rate"),
        Schedule = r.Arguments.Choice("schedule"),
        WeightDecay = 1e-4,
        Seed = r.Seed,
    };

    /// <summary>Accuracy for labelled samples, the inverse of the perplexity for text: higher is better.</summary>
    public static double Quality(Evaluation e, IDataset data) => data.Kind == SampleKind.Tokens ? 1 / e.Perplexity : e.Top1;

    public static string QualityName(IDataset data) => data.Kind == SampleKind.Tokens ? "inverse perplexity" : "top-1";
}
