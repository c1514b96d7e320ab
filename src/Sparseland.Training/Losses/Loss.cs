using Sparseland.Training.Autograd;

namespace Sparseland.Training.Losses;

/// <summary>The common losses; each returns a scalar. Logits are [..., classes]: every leading index is a sample.</summary>
public static class Loss
{
    /// <summary>Targets that do not count, as PyTorch marks them.</summary>
    public const int IgnoredTarget = -100;

    /// <summary>Softmax cross-entropy against class indices, the mean over counted samples.</summary>
    /// <remarks>Label smoothing: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7: the target is (1 - s) one-hot + s / classes.</remarks>
    /// <param name="logits">[..., classes].</param>
    /// <param name="targets">One class per sample, or <see cref="IgnoredTarget"/>.</param>
    /// <param name="labelSmoothing">s, 0 to below 1.</param>
    /// <exception cref="ArgumentException">Shapes do not fit or a target is no class.</exception>
    public static Tensor CrossEntropy(Tensor logits, ReadOnlySpan<int> targets, double labelSmoothing = 0)
    {
        ArgumentNullException.ThrowIfNull(logits);
        ArgumentOutOfRangeException.ThrowIfNegative(labelSmoothing);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(labelSmoothing, 1);
        (int rows, int classes) = Rows(logits);
        if (targets.Length != rows) throw new ArgumentException($"{targets.Length} targets for logits of {logits}.", nameof(targets));
        int counted = 0;
        foreach (int target in targets)
        {
            if (target == IgnoredTarget) continue;
            if ((uint)target >= (uint)classes) throw new ArgumentException($"Target {target} is none of {classes} classes.", nameof(targets));
            counted++;
        }

        int[] wanted = targets.ToArray();
        double smoothing = labelSmoothing;
        Tensor logProbabilities = LogSoftmax(logits, rows, classes);
        var losses = new double[rows];
        float[] lp = logProbabilities.Array;
        for (int r = 0; r < rows; r++)
        {
            if (wanted[r] == IgnoredTarget) continue;
            ReadOnlySpan<float> row = lp.AsSpan(r * classes, classes);
            double loss = -(1 - smoothing) * row[wanted[r]];
            if (smoothing > 0) loss -= smoothing / classes * TensorPrimitives.Sum(row);
            losses[r] = loss;
        }
        // No sample, no loss: 0 rather than NaN, so that an empty batch does not end a run.
        Tensor result = Tensor.Scalar(counted == 0 ? 0 : (float)(losses.Sum() / counted));
        Tape.Record("CrossEntropy", result, [logits], [logProbabilities], flow =>
        {
            float scale = counted == 0 ? 0 : flow.Output().Values[0] / counted;
            Tensor gradient = Tensor.Uninitialized(logits.Shape);
            float[] log = logProbabilities.Array, g = gradient.Array;
            float even = (float)(smoothing / classes), hit = (float)(1 - smoothing);
            Chunks.Rows(rows, classes, r =>
            {
                Span<float> row = g.AsSpan(r * classes, classes);
                if (wanted[r] == IgnoredTarget)
                {
                    row.Clear();
                    return;
                }
                TensorPrimitives.Exp(log.AsSpan(r * classes, classes), row);
                if (even != 0) TensorPrimitives.Subtract(row, even, row);
                row[wanted[r]] -= hit;
                TensorPrimitives.Multiply(row, scale, row);
            });
            flow.Give(0, gradient);
        });
        logProbabilities.Storage.Release();
        return result;
    }

    /// <summary>Softmax cross-entropy against probabilities (mixup, soft labels), the mean over samples.</summary>
    /// <param name="logits">[..., classes].</param>
    /// <param name="probabilities">Same shape; no gradient flows to it.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor CrossEntropy(Tensor logits, Tensor probabilities) => Divergence("CrossEntropy", logits, probabilities, 1, subtractEntropy: false);

    /// <summary>Distillation: temperature^2 * KL(softmax(teacher / T) || softmax(student / T)), the mean over samples.</summary>
    /// <remarks>Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2; the factor T^2 keeps gradients of one size for every T.</remarks>
    /// <param name="student">Logits [..., classes].</param>
    /// <param name="teacher">Logits of the same shape; no gradient flows to them.</param>
    /// <param name="temperature">T, above 0.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor Distillation(Tensor student, Tensor teacher, double temperature = 4)
    {
        ArgumentNullException.ThrowIfNull(teacher);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(temperature);
        (int rows, int classes) = Rows(teacher);
        Tensor targets = LogSoftmax(teacher, rows, classes, (float)(1 / temperature));
        TensorPrimitives.Exp(targets.Values, targets.Values);
        return Divergence("Distillation", student, targets, temperature, subtractEntropy: true);
    }

    /// <summary>Mean squared error over all elements.</summary>
    /// <param name="prediction">Any shape.</param>
    /// <param name="target">The same shape; no gradient flows to it.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor MeanSquaredError(Tensor prediction, Tensor target) =>
        Pointwise("MeanSquaredError", prediction, target, static d => d * d, static d => 2 * d);

    /// <summary>Mean absolute error over all elements.</summary>
    /// <param name="prediction">Any shape.</param>
    /// <param name="target">The same shape; no gradient flows to it.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor MeanAbsoluteError(Tensor prediction, Tensor target) =>
        Pointwise("MeanAbsoluteError", prediction, target, static d => Math.Abs(d), static d => Math.Sign(d));

    /// <summary>Huber's loss: quadratic within <paramref name="delta"/> of the target, linear beyond (Huber 1964), the mean over all elements.</summary>
    /// <param name="prediction">Any shape.</param>
    /// <param name="target">The same shape; no gradient flows to it.</param>
    /// <param name="delta">Where it turns linear, above 0.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor Huber(Tensor prediction, Tensor target, double delta = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(delta);
        return Pointwise("Huber", prediction, target,
            d => Math.Abs(d) <= delta ? d * d / 2 : delta * (Math.Abs(d) - delta / 2),
            d => Math.Clamp(d, -delta, delta));
    }

    /// <summary>Binary cross-entropy of logits, max(x,0) - x t + log(1 + exp(-|x|)), the mean over all elements.</summary>
    /// <param name="logits">Any shape.</param>
    /// <param name="targets">The same shape, 0 to 1; no gradient flows to it.</param>
    /// <exception cref="ArgumentException">The shapes differ.</exception>
    public static Tensor BinaryCrossEntropy(Tensor logits, Tensor targets)
    {
        RequireSameShape(logits, targets);
        double sum = 0;
        Span<float> x = logits.Values, t = targets.Values;
        for (int i = 0; i < x.Length; i++) sum += Math.Max(x[i], 0) - (double)x[i] * t[i] + Math.Log(1 + Math.Exp(-Math.Abs((double)x[i])));
        int count = logits.Length;
        return Tape.Record("BinaryCrossEntropy", Tensor.Scalar(count == 0 ? 0 : (float)(sum / count)), [logits], [logits, targets], flow =>
        {
            float scale = flow.Output().Values[0] / count;
            Tensor gradient = Tensor.Uninitialized(logits.Shape);
            Span<float> values = logits.Values, wanted = targets.Values, g = gradient.Values;
            TensorPrimitives.Sigmoid(values, g);
            for (int i = 0; i < g.Length; i++) g[i] = (g[i] - wanted[i]) * scale;
            flow.Give(0, gradient);
        });
    }

    private static Tensor Divergence(string name, Tensor logits, Tensor probabilities, double temperature, bool subtractEntropy)
    {
        RequireSameShape(logits, probabilities);
        (int rows, int classes) = Rows(logits);
        float inverse = (float)(1 / temperature);
        double square = temperature * temperature;
        Tensor logProbabilities = LogSoftmax(logits, rows, classes, inverse);
        double sum = 0;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> p = probabilities.Values.Slice(r * classes, classes), q = logProbabilities.Values.Slice(r * classes, classes);
            for (int i = 0; i < classes; i++)
            {
                if (p[i] == 0) continue;
                sum += p[i] * ((subtractEntropy ? Math.Log(p[i]) : 0) - q[i]);
            }
        }
        Tensor result = Tensor.Scalar(rows == 0 ? 0 : (float)(square * sum / rows));
        Tape.Record(name, result, [logits], [logProbabilities, probabilities], flow =>
        {
            // d/dx of T^2 * -sum p log softmax(x/T) is T * (softmax * sum(p) - p).
            float scale = rows == 0 ? 0 : (float)(flow.Output().Values[0] * temperature / rows);
            Tensor gradient = Tensor.Uninitialized(logits.Shape);
            float[] log = logProbabilities.Array, p = probabilities.Array, g = gradient.Array;
            Chunks.Rows(rows, classes, r =>
            {
                Span<float> row = g.AsSpan(r * classes, classes);
                ReadOnlySpan<float> wanted = p.AsSpan(r * classes, classes);
                TensorPrimitives.Exp(log.AsSpan(r * classes, classes), row);
                TensorPrimitives.Multiply(row, TensorPrimitives.Sum(wanted), row);
                TensorPrimitives.Subtract(row, wanted, row);
                TensorPrimitives.Multiply(row, scale, row);
            });
            flow.Give(0, gradient);
        });
        logProbabilities.Storage.Release();
        return result;
    }

    private static Tensor Pointwise(string name, Tensor prediction, Tensor target, Func<double, double> value, Func<double, double> derivative)
    {
        RequireSameShape(prediction, target);
        int count = prediction.Length;
        double sum = 0;
        Span<float> a = prediction.Values, b = target.Values;
        for (int i = 0; i < count; i++) sum += value((double)a[i] - b[i]);
        return Tape.Record(name, Tensor.Scalar(count == 0 ? 0 : (float)(sum / count)), [prediction], [prediction, target], flow =>
        {
            double scale = flow.Output().Values[0] / (double)count;
            Tensor gradient = Tensor.Uninitialized(prediction.Shape);
            Span<float> x = prediction.Values, t = target.Values, g = gradient.Values;
            for (int i = 0; i < g.Length; i++) g[i] = (float)(derivative((double)x[i] - t[i]) * scale);
            flow.Give(0, gradient);
        });
    }

    private static Tensor LogSoftmax(Tensor logits, int rows, int classes, float scale = 1)
    {
        Tensor result = Tensor.Uninitialized(logits.Shape);
        float[] x = logits.Array, y = result.Array;
        Chunks.Rows(rows, classes, r =>
        {
            Span<float> row = y.AsSpan(r * classes, classes);
            TensorPrimitives.Multiply(x.AsSpan(r * classes, classes), scale, row);
            float max = TensorPrimitives.Max<float>(row);
            TensorPrimitives.Subtract(row, max, row);
            double sum = 0;
            foreach (float v in row) sum += Math.Exp(v);
            TensorPrimitives.Subtract(row, (float)Math.Log(sum), row);
        });
        return result;
    }

    private static (int Rows, int Classes) Rows(Tensor logits)
    {
        ArgumentNullException.ThrowIfNull(logits);
        if (logits.Rank == 0 || logits.Shape[^1] == 0) throw new ArgumentException($"Logits need at least one class; got {logits}.", nameof(logits));
        return (logits.Length / logits.Shape[^1], logits.Shape[^1]);
    }

    private static void RequireSameShape(Tensor a, Tensor b)
    {
        ArgumentNullException.ThrowIfNull(a);
        ArgumentNullException.ThrowIfNull(b);
        if (!a.Shape.SequenceEqual(b.Shape)) throw new ArgumentException($"Shapes {a} and {b} differ.");
    }
}
