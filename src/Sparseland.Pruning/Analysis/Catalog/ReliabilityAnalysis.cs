using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Metrics;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>Whether pruning costs more, or less, than accuracy says.</summary>
public static class ReliabilityAnalysis
{
    /// <summary>The catalogue's entry.</summary>
    public static AnalysisInfo Info { get; } = new()
    {
        Id = "reliability",
        Title = "Calibration, unknown inputs and attacks",
        Paper = "Guo, Pleiss, Sun and Weinberger: On Calibration of Modern Neural Networks, ICML 2017; Hendrycks and Gimpel: A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks, ICLR 2017; Goodfellow, Shlens and Szegedy: Explaining and Harnessing Adversarial Examples, ICLR 2015",
        Section = "section 2; sections 2 and 3; section 4",
        Description = "expected calibration error and negative log-likelihood, how well confidence tells the data from unknown inputs, and accuracy under one step of the fast gradient sign attack",
        Needs = AnalysisNeeds.LabelledData | AnalysisNeeds.Pictures,
        Parameters =
        [
            new("unknown", ParameterType.Text, "noise", "pictures of none of the classes: noise (uniform), or another data set of the same shape"),
            new("epsilon", ParameterType.Number, "8", "largest change of a pixel by the attack, in 255ths") { Min = 0, Max = 255 },
            new("bins", ParameterType.Integer, "15", "bins of the calibration error") { Min = 1, Max = 1000 },
            SharedAnalysisParameters.Limit(1000),
        ],
        Plan = r =>
        {
            IDataset data = r.EvaluationSamples(), unknown = Unknown(r, data);
            return $"would look at {Models(r).Count} models on {data.Count:N0} pictures and {unknown.Count:N0} unknown ones ({r.Arguments.Text("unknown")}), with an attack of {r.Arguments.Number("epsilon"):0.##} / 255";
        },
        Analyse = Analyse,
    };

    private static IReadOnlyList<(string Name, ModelGraph Graph)> Models(AnalysisRequest r) => [(r.Name, r.Model), .. r.Others];

    private static IDataset Unknown(AnalysisRequest r, IDataset data)
    {
        string name = r.Arguments.Text("unknown");
        int[] shape = data.SampleShape.ToArray();
        if (name == "noise")
        {
            float[] values = new float[data.Count * data.SampleLength()];
            SeededRandom random = SeededRandom.Of(r.Seed, 0x0D);
            foreach (ref float v in values.AsSpan()) v = (float)random.NextDouble();
            return new ArrayDataset(values, new int[data.Count], shape, 1);
        }
        IDataset other = DataSource.Open(name, new DataSourceOptions { DataRoot = r.DataRoot, ImageSize = (shape[1], shape[2]), Channels = shape[0] is 1 or 3 ? shape[0] : null }).ForEvaluation;
        if (!other.SampleShape.SequenceEqual(shape))
        {
            throw new PruningException("SL4002", $"'unknown: {name}' has samples [{string.Join(", ", other.SampleShape.ToArray())}], the data [{string.Join(", ", shape)}]")
            {
                Try = "noise, or pictures of the same shape, such as fashion-mnist beside mnist",
            };
        }
        return NetworkOutputs.First(other, data.Count);
    }

    private static AnalysisResult Analyse(AnalysisRequest r)
    {
        IDataset data = r.EvaluationSamples(), unknown = Unknown(r, data);
        double epsilon = r.Arguments.Number("epsilon") / 255;
        var figures = new Dictionary<string, double>();
        var models = new List<IReadOnlyList<object?>>();
        var bins = new List<IReadOnlyList<object?>>();
        var lines = new List<AnalysisSeries>();
        var words = new List<string>();
        foreach ((string name, ModelGraph graph) in Models(r))
        {
            r.Progress?.Report(new AnalysisProgress(models.Count, Models(r).Count, name));
            Reliability found = Reliability.Measure(new TrainableModel(graph), data, unknown, r.Normalization, epsilon, r.Arguments.Int("bins"), r.BatchSize, r.Cancellation);
            Calibration calibration = found.Calibration;
            figures["accuracy " + name] = found.Accuracy;
            figures["calibration error " + name] = calibration.ExpectedError;
            figures["negative log-likelihood " + name] = calibration.NegativeLogLikelihood;
            figures["area, unknown inputs " + name] = found.UnknownArea!.Value;
            figures["accuracy, attacked " + name] = found.AttackedAccuracy;
            models.Add([name, found.Accuracy, calibration.ExpectedError, calibration.MaximumError, calibration.NegativeLogLikelihood, found.UnknownArea, found.AttackedAccuracy]);
            CalibrationBin[] filled = [.. calibration.Bins.Where(b => b.Count > 0)];
            bins.AddRange(filled.Select(b => (IReadOnlyList<object?>)[name, b.From, b.To, b.Count, b.Confidence, b.Accuracy]));
            lines.Add(new AnalysisSeries(name, [.. filled.Select(b => (b.Confidence, b.Accuracy))]));
            words.Add($"{name}: {found.Accuracy:P1} correct, calibration error {calibration.ExpectedError:P1}, unknown inputs told apart {found.UnknownArea:P1}, {found.AttackedAccuracy:P1} correct under attack");
        }
        return new AnalysisResult(string.Join("; ", words))
        {
            Figures = figures,
            Tables =
            [
                new AnalysisTable("Models", [new("model"), new("accuracy", ColumnFormat.Share), new("calibration error", ColumnFormat.Share), new("largest gap", ColumnFormat.Share), new("negative log-likelihood", ColumnFormat.Number), new("area, unknown inputs", ColumnFormat.Share), new("accuracy, attacked", ColumnFormat.Share)], models),
                new AnalysisTable("Bins of confidence", [new("model"), new("above", ColumnFormat.Number), new("to", ColumnFormat.Number), new("samples", ColumnFormat.Count), new("mean confidence", ColumnFormat.Share), new("accuracy", ColumnFormat.Share)], bins),
            ],
            Charts = [new AnalysisChart("Reliability diagram", ChartKind.Scatter, "mean confidence", "accuracy", lines)],
            Notes =
            [
                $"the area is the probability that the largest softmax probability of a sample lies above that of an unknown input ({r.Arguments.Text("unknown")}); 50 % is chance",
                "the attack is one step with the model's own gradients: accuracy under it is an upper limit of what stronger attacks leave",
            ],
        };
    }
}
