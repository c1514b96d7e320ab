using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis;

/// <summary>Errors on the straight line between two networks.</summary>
/// <param name="Positions">t of (1 - t) a + t b, from 0 to 1.</param>
/// <param name="Errors">Share of training samples that are classified wrongly, one per position.</param>
/// <param name="Losses">Mean cross-entropy, one per position.</param>
public sealed record ConnectivityPath(IReadOnlyList<double> Positions, IReadOnlyList<double> Errors, IReadOnlyList<double> Losses)
{
    /// <summary>Where the error departs most from the mean of the ends; the first of equals.</summary>
    public int Extreme => ModeConnectivity.Measure(Errors).Index;

    /// <summary>Linear mode connectivity: mean error of the ends less the error at the extreme. Negative = a barrier, near 0 = connected, positive = a valley.</summary>
    public double Lmc => ModeConnectivity.Measure(Errors).Lmc;
}

/// <summary>Whether two networks lie in one valley: training error on the line between their weights.</summary>
/// <remarks>
/// Zhou, Yang, Chang and Mahoney, "A Three-regime Model of Network Pruning", ICML 2023, section 2: eleven points, running statistics of batch normalisations measured again
/// at each of them over training data, LMC = (e(0) + e(1)) / 2 - e(t*) with t* where the difference is largest in absolute value. Instability analysis is the same measure on two
/// copies trained on different orders of the data: Frankle, Dziugaite, Roy and Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020, section 2.
/// Without measuring the statistics again networks with batch normalisation show barriers that are not there.
/// </remarks>
public static class ModeConnectivity
{
    /// <summary>LMC and the position of the extreme from errors along a path; needs both ends.</summary>
    /// <exception cref="ArgumentException">There are fewer than two errors.</exception>
    public static (double Lmc, int Index) Measure(IReadOnlyList<double> errors)
    {
        ArgumentNullException.ThrowIfNull(errors);
        if (errors.Count < 2) throw new ArgumentException("A path has two ends.", nameof(errors));
        double mean = (errors[0] + errors[^1]) / 2;
        int index = 0;
        for (int i = 1; i < errors.Count; i++)
        {
            if (Math.Abs(mean - errors[i]) > Math.Abs(mean - errors[index])) index = i;
        }
        return (mean - errors[index], index);
    }

    /// <summary>The model (1 - t) a + t b. Masks are kept: both models must have the same.</summary>
    /// <param name="a">The model at t = 0.</param>
    /// <param name="b">The model at t = 1.</param>
    /// <param name="t">0 to 1.</param>
    /// <exception cref="PruningException">SL4020: the models differ in shape; SL4021: they differ in masks.</exception>
    public static ModelGraph Interpolate(ModelGraph a, ModelGraph b, double t)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(t);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(t, 1);
        RequireSameMasks(a, b);
        ModelGraph mixed = a.Clone();
        foreach (Weight weight in mixed.Weights.Values)
        {
            if (weight.ElementType != ElementType.Float32 || !b.Weights.TryGetValue(weight.Name, out Weight? other) || !other.Shape.SequenceEqual(weight.Shape)) continue;
            float[] x = weight.Read().ToSingles(), y = other.Read().ToSingles(), z = new float[x.Length];
            for (int i = 0; i < z.Length; i++) z[i] = (float)((1 - t) * x[i] + t * y[i]);
            weight.Set(TensorData.Wrap(z, weight.Shape));
        }
        return mixed;
    }

    /// <summary>Errors and losses on the line between two models.</summary>
    /// <param name="a">The model at t = 0; it is not changed.</param>
    /// <param name="b">The model at t = 1; it is not changed.</param>
    /// <param name="data">Training data.</param>
    /// <param name="normalization">Input normalisation of both models.</param>
    /// <param name="options">How it is measured.</param>
    /// <param name="cancellation">Stops between points.</param>
    /// <exception cref="PruningException">SL4020, SL4021: the models cannot be compared.</exception>
    public static ConnectivityPath Measure(ModelGraph a, ModelGraph b, IDataset data, InputNormalization normalization, ConnectivityOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(data);
        options ??= new ConnectivityOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Points, 2, nameof(options));
        double[] positions = new double[options.Points], errors = new double[options.Points], losses = new double[options.Points];
        for (int i = 0; i < options.Points; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            positions[i] = (double)i / (options.Points - 1);
            var model = new TrainableModel(Interpolate(a, b, positions[i]));
            if (options.ReestimatesNorms)
            {
                new NormReestimation(options.NormBatches, options.BatchSize).Recover(model, new RecoveryContext(new DataSource("path", "", data, null), normalization), cancellation);
            }
            Training.Runs.Evaluation e = Training.Runs.Evaluator.Evaluate(model, data, new Training.Runs.EvaluationOptions { BatchSize = options.BatchSize, Normalization = normalization }, cancellation: cancellation);
            errors[i] = 1 - e.Top1;
            losses[i] = e.Loss;
            options.Progress?.Report((i + 1, options.Points));
        }
        return new ConnectivityPath(positions, errors, losses);
    }

    private static void RequireSameMasks(ModelGraph a, ModelGraph b)
    {
        foreach (PrunableLayer layer in ModelPairs.RequireSameLayers(a, b))
        {
            Mask? x = a.Weights[layer.Name].Mask, y = b.Weights[layer.Name].Mask;
            if (x is null ? y is null : x.Equals(y)) continue;
            throw new PruningException("SL4021", $"the two models have different masks on '{layer.Name}'")
            {
                Because = "a model between them would be denser than both, and their connectivity would say nothing about either",
                Try = "compare models that were trained on from one pruned model; 'overlap' compares masks",
            };
        }
    }
}

/// <summary>How a path is measured.</summary>
public sealed record ConnectivityOptions
{
    /// <summary>Points on the line, both ends included.</summary>
    public int Points { get; init; } = 11;

    /// <summary>Samples per forward pass.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Whether running statistics of batch normalisations are measured again at every point.</summary>
    public bool ReestimatesNorms { get; init; } = true;

    /// <summary>Batches over which they are measured.</summary>
    public int NormBatches { get; init; } = int.MaxValue;

    /// <summary>Called with (done, total) points.</summary>
    public IProgress<(int Done, int Total)>? Progress { get; init; }
}
