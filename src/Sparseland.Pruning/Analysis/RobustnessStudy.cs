using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;
using Sparseland.Training.Data.Corruptions;

namespace Sparseland.Pruning.Analysis;

/// <summary>A state of the data: clean, or a corruption at a severity.</summary>
/// <param name="Corruption">The corruption; null = clean.</param>
/// <param name="Severity">0 (clean) to 5.</param>
public sealed record RobustnessCondition(Corruption? Corruption, int Severity)
{
    /// <inheritdoc/>
    public override string ToString() => Corruption is null ? "clean" : $"{Corruption.Id} {Severity}";
}

/// <summary>The geometry of one model under one condition.</summary>
/// <param name="Model">The model's name.</param>
/// <param name="Condition">The condition.</param>
/// <param name="Samples">One per sample, in the data's order.</param>
public sealed record RobustnessCell(string Model, RobustnessCondition Condition, IReadOnlyList<SampleGeometry> Samples)
{
    /// <summary>Share of samples that are classified correctly.</summary>
    public double Accuracy => Samples.Count(s => s.IsCorrect) / (double)Math.Max(1, Samples.Count);

    /// <summary>Mean margin.</summary>
    public double Margin => Mean(s => s.Margin, _ => true);

    /// <summary>Mean length of the features.</summary>
    public double Length => Mean(s => s.Length, _ => true);

    /// <summary>Mean angle to the true class's direction, degrees.</summary>
    public double Degrees => Mean(s => s.Degrees, _ => true);

    /// <summary>Mean angle over the samples that are classified correctly (or wrongly): the two must not be mixed when models are compared.</summary>
    public double DegreesWhere(bool correct) => Mean(s => s.Degrees, s => s.IsCorrect == correct);

    /// <summary>Accuracy, mean angle, length and margin of the samples of one class.</summary>
    public (double Accuracy, double Degrees, double Length, double Margin) OfClass(int c) =>
        (Mean(s => s.IsCorrect ? 1 : 0, s => s.Target == c), Mean(s => s.Degrees, s => s.Target == c), Mean(s => s.Length, s => s.Target == c), Mean(s => s.Margin, s => s.Target == c));

    private double Mean(Func<SampleGeometry, double> of, Func<SampleGeometry, bool> where)
    {
        double sum = 0;
        int count = 0;
        foreach (SampleGeometry s in Samples)
        {
            double value = where(s) ? of(s) : double.NaN;
            if (double.IsNaN(value)) continue;
            sum += value;
            count++;
        }
        return count == 0 ? double.NaN : sum / count;
    }
}

/// <summary>What pruning and corruption do to a sample that the first model classifies correctly when clean.</summary>
/// <param name="Robust">Correct under every condition, in both models.</param>
/// <param name="FragileToPruning">Correct under every condition in the first model, wrong when clean in the other.</param>
/// <param name="FragileToCorruption">Right when clean in both, wrong under some condition in either.</param>
/// <param name="FragileToBoth">Wrong when clean in the other model, and wrong under some condition in the first.</param>
/// <param name="Others">Wrong in the first model even when clean.</param>
public sealed record FragilityCounts(int Robust, int FragileToPruning, int FragileToCorruption, int FragileToBoth, int Others);

/// <summary>Compares classifiers through the geometry of their last features, on clean and on corrupted pictures.</summary>
/// <remarks>
/// "Understanding Robustness Lottery: A Geometric Visual Comparative Analysis of Neural Network Pruning Approaches" (2022, revised 2023), sections 4 and 5; corruptions: Hendrycks and
/// Dietterich, ICLR 2019. Sizes and orderings of the comparison are this toolkit's reading.
/// </remarks>
public sealed class RobustnessStudy
{
    private readonly Dictionary<(string, string), RobustnessCell> _cells;

    private RobustnessStudy(IReadOnlyList<string> models, IReadOnlyList<RobustnessCondition> conditions, IReadOnlyList<RobustnessCell> cells)
    {
        Models = models;
        Conditions = conditions;
        Cells = cells;
        _cells = cells.ToDictionary(c => (c.Model, c.Condition.ToString()));
    }

    /// <summary>Names of the models; the first is the one that the others are compared with.</summary>
    public IReadOnlyList<string> Models { get; }

    /// <summary>Clean, then corruption by corruption with rising severity.</summary>
    public IReadOnlyList<RobustnessCondition> Conditions { get; }

    /// <summary>One per model and condition.</summary>
    public IReadOnlyList<RobustnessCell> Cells { get; }

    /// <summary>Measures models under conditions.</summary>
    /// <param name="models">Models with names; the first is what the others are compared with.</param>
    /// <param name="data">Labelled pictures, 0 to 1.</param>
    /// <param name="normalization">The models' input normalisation, applied after the corruption.</param>
    /// <param name="corruptions">The corruptions.</param>
    /// <param name="severities">The severities, 1 to 5.</param>
    /// <param name="seed">Seed of the corruptions.</param>
    /// <param name="batch">Samples per forward pass.</param>
    /// <param name="progress">Reports.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="PruningException">SL4022: a model does not end in a linear layer.</exception>
    public static RobustnessStudy Measure(IReadOnlyList<(string Name, ModelGraph Graph)> models, IDataset data, InputNormalization normalization, IReadOnlyList<Corruption> corruptions, IReadOnlyList<int> severities,
        long seed = 0, int batch = 256, IProgress<AnalysisProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(models);
        ArgumentNullException.ThrowIfNull(corruptions);
        ArgumentNullException.ThrowIfNull(severities);
        RobustnessCondition[] conditions = [new(null, 0), .. corruptions.SelectMany(c => severities.Order().Select(s => new RobustnessCondition(c, s)))];
        var cells = new List<RobustnessCell>();
        double total = (double)conditions.Length * models.Count;
        foreach (RobustnessCondition condition in conditions)
        {
            // Filled once and kept: corrupting is not cheaper than the network.
            IDataset samples = condition.Corruption is null ? data : Held(new CorruptedDataset(data, condition.Corruption, condition.Severity, seed));
            foreach ((string name, ModelGraph graph) in models)
            {
                progress?.Report(new AnalysisProgress(cells.Count, total, $"{name}, {condition}"));
                cells.Add(new RobustnessCell(name, condition, FeatureGeometry.Measure(graph, samples, normalization, batch, cancellation)));
            }
        }
        return new RobustnessStudy([.. models.Select(m => m.Name)], conditions, cells);
    }

    /// <summary>The cell of a model and condition.</summary>
    public RobustnessCell Cell(string model, RobustnessCondition condition)
    {
        ArgumentNullException.ThrowIfNull(condition);
        return _cells[(model, condition.ToString())];
    }

    /// <summary>How pruning and corruption break samples, for one of the other models.</summary>
    public FragilityCounts Fragility(string model)
    {
        int robust = 0, pruning = 0, corruption = 0, both = 0, others = 0, count = Cells[0].Samples.Count;
        for (int i = 0; i < count; i++)
        {
            if (!Right(Models[0], Conditions[0], i))
            {
                others++;
                continue;
            }
            bool firstHolds = Conditions.All(c => Right(Models[0], c, i)), otherClean = Right(model, Conditions[0], i), otherHolds = Conditions.All(c => Right(model, c, i));
            if (firstHolds && otherHolds) robust++;
            else if (otherClean) corruption++;
            else if (firstHolds) pruning++;
            else both++;
        }
        return new FragilityCounts(robust, pruning, corruption, both, others);
    }

    /// <summary>Correlation of per-sample changes of the margin between corruptions (all severities together): near 1, one of the two says nothing new.</summary>
    /// <returns>[corruptions, corruptions], row-major, in the order of <see cref="Conditions"/>.</returns>
    public (IReadOnlyList<string> Corruptions, double[] Correlations) Redundancy(string model)
    {
        string[] ids = [.. Conditions.Where(c => c.Corruption is not null).Select(c => c.Corruption!.Id).Distinct()];
        RobustnessCell clean = Cell(model, Conditions[0]);
        double[][] changes = [.. ids.Select(id =>
        {
            double[] change = new double[clean.Samples.Count];
            foreach (RobustnessCondition condition in Conditions.Where(c => c.Corruption?.Id == id))
            {
                RobustnessCell cell = Cell(model, condition);
                for (int i = 0; i < change.Length; i++) change[i] += cell.Samples[i].Margin - clean.Samples[i].Margin;
            }
            return change;
        })];
        double[] matrix = new double[ids.Length * ids.Length];
        for (int a = 0; a < ids.Length; a++)
        {
            for (int b = 0; b < ids.Length; b++) matrix[a * ids.Length + b] = a == b ? 1 : RankCorrelation.Pearson(changes[a], changes[b]).Value;
        }
        return (ids, matrix);
    }

    /// <summary>Share of samples to which two models give the same class under a condition.</summary>
    public double Agreement(string a, string b, RobustnessCondition condition)
    {
        IReadOnlyList<SampleGeometry> x = Cell(a, condition).Samples, y = Cell(b, condition).Samples;
        return x.Where((s, i) => s.Predicted == y[i].Predicted).Count() / (double)Math.Max(1, x.Count);
    }

    private bool Right(string model, RobustnessCondition condition, int sample) => Cell(model, condition).Samples[sample].IsCorrect;

    private static ArrayDataset Held(CorruptedDataset data)
    {
        int length = data.SampleLength();
        float[] values = new float[data.Count * length];
        int[] labels = new int[data.Count];
        for (int i = 0; i < labels.Length; i++) data.Fill(i, values.AsSpan(i * length, length), labels.AsSpan(i, 1));
        return new ArrayDataset(values, labels, data.SampleShape, data.ClassCount, data.ClassNames);
    }
}
