using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>BatchNormalization for inference, and in training mode with updated running statistics.</summary>
internal sealed class BatchNormalization() : Operator("BatchNormalization", minInputs: 5, maxOutputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        if (context.Shape(0) is { Rank: >= 2 } x && context.Shape(1) is { Rank: 1 } scale && x[1].IsKnown && scale[0].IsKnown && x[1] != scale[0])
            throw context.Error($"the input has {x[1]} channels, the scale {scale[0]}");
        context.Copy();
        context.Copy(3, 1);
        context.Copy(4, 2);
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        bool training = coupling.Node.Attributes.Int("training_mode", 0) == 1;
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            if (axis == 1 || !training) coupling.Link(x, axis, y, axis);
        }
        coupling.PerChannel([1, 2, 3, 4]);
        foreach (int statistic in (int[])[1, 2]) coupling.Link(x, 1, Port.Out(statistic), 0);
        coupling.SetZero(y, 1, coupling.IsZero(Port.In(1), 0) && coupling.IsZero(Port.In(2), 0));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int batch = x.Shape[0], channels = x.Rank > 1 ? x.Shape[1] : 1, plane = x.Length / Math.Max(1, batch * channels);
        double[] values = x.ToDoubles(), scale = context.Input(1).ToDoubles(), bias = context.Input(2).ToDoubles();
        double[] mean = context.Input(3).ToDoubles(), variance = context.Input(4).ToDoubles(), y = new double[values.Length];
        TensorData?[] outputs = new TensorData?[3];
        if (context.Node.Attributes.Int("training_mode", 0) == 1)
        {
            float momentum = context.Node.Attributes.Float("momentum", 0.9f);
            (double[] m, double[] v) = PerChannel(values, batch, channels, plane);
            double[] runningMean = new double[channels], runningVariance = new double[channels];
            for (int c = 0; c < channels; c++)
            {
                runningMean[c] = (mean[c] * momentum) + (m[c] * (1 - momentum));
                runningVariance[c] = (variance[c] * momentum) + (v[c] * (1 - momentum));
            }
            outputs[1] = TensorData.Vector(runningMean).To(context.Input(3).ElementType);
            outputs[2] = TensorData.Vector(runningVariance).To(context.Input(4).ElementType);
            (mean, variance) = (m, v);
        }
        double epsilon = context.Node.Attributes.Float("epsilon", 1e-5f);
        for (int i = 0; i < y.Length; i++)
        {
            int c = i / plane % channels;
            y[i] = ((values[i] - mean[c]) / Math.Sqrt(variance[c] + epsilon) * scale[c]) + bias[c];
        }
        outputs[0] = TensorData.Wrap(y, x.Shape).To(x.ElementType);
        return outputs;
    }

    private static (double[] Mean, double[] Variance) PerChannel(double[] values, int batch, int channels, int plane)
    {
        double[] mean = new double[channels], variance = new double[channels];
        double count = batch * plane;
        for (int i = 0; i < values.Length; i++) mean[i / plane % channels] += values[i] / count;
        for (int i = 0; i < values.Length; i++)
        {
            double d = values[i] - mean[i / plane % channels];
            variance[i / plane % channels] += d * d / count;
        }
        return (mean, variance);
    }
}

/// <summary>InstanceNormalization and GroupNormalization: mean and variance of groups of channels of one sample, then scale and bias per channel.</summary>
internal sealed class GroupedNormalisation(string opType) : Operator(opType, minInputs: 3)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        int channels = coupling.Size(x, 1), groups = OpType == "InstanceNormalization" ? channels : (int)coupling.Node.Attributes.Int("num_groups", 1);
        coupling.Link(x, 0, y, 0);
        coupling.Link(x, 1, y, 1);
        foreach (Port port in (Port[])[x, y]) coupling.FreezeFrom(port, 2, "its mean is taken");
        coupling.SetZero(y, 1, coupling.IsZero(Port.In(1), 0) && coupling.IsZero(Port.In(2), 0));
        if (channels < 0 || groups < 1 || channels % groups != 0) return;
        if (groups == 1) coupling.Freeze(x, 1, RefusalReason.NormalizedAxis, "one mean is taken over all channels");
        foreach (Port vector in (Port[])[Port.In(1), Port.In(2)])
        {
            if (coupling.Size(vector, 0) == channels) coupling.Link(x, 1, vector, 0);
            else coupling.LinkBlocks(vector, 0, x, 1);
        }
        // A whole group leaves at a time: a part of one would change its mean.
        int width = channels / groups;
        for (int i = 1; i < width; i++) coupling.LinkRange(x, 1, 0, x, 1, i, groups, width, width);
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        if (OpType == "InstanceNormalization" || removal.Kept(Port.In(0), 1) is not { } kept) return;
        long groups = removal.Node.Attributes.Int("num_groups", 1), width = removal.OldShape(Port.In(0))[1].Value / groups;
        removal.Node.Attributes.Set("num_groups", kept.Count / width);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int batch = x.Shape[0], channels = x.Shape[1], plane = Axes.Product(x.Shape[2..]);
        int groups = OpType == "InstanceNormalization" ? channels : (int)context.Node.Attributes.Int("num_groups", 1);
        if (groups < 1 || channels % groups != 0) throw context.Error($"{channels} channels cannot be cut into {groups} groups");
        double[] values = x.ToDoubles(), y = new double[values.Length], scale = context.Input(1).ToDoubles(), bias = context.Input(2).ToDoubles();
        double epsilon = context.Node.Attributes.Float("epsilon", 1e-5f);
        int run = channels / groups * plane;
        for (int g = 0; g < batch * groups; g++)
        {
            Rows.Standardise(values.AsSpan(g * run, run), y.AsSpan(g * run, run), epsilon, out _, out _);
        }
        for (int i = 0; i < y.Length; i++)
        {
            int c = i / plane % channels;
            // Before opset 21 GroupNormalization had one scale per group.
            y[i] = (y[i] * scale[scale.Length == channels ? c : c * groups / channels]) + bias[bias.Length == channels ? c : c * groups / channels];
        }
        return [TensorData.Wrap(y, x.Shape).To(x.ElementType)];
    }
}

/// <summary>LayerNormalization over the axes from "axis" on. Ba et al., "Layer Normalization", eq. 3-4.</summary>
internal sealed class LayerNormalization() : Operator("LayerNormalization", minInputs: 2, maxInputs: 3, maxOutputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        context.Copy();
        TensorShape? statistics = null;
        if (context.Shape(0) is { } x)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
            statistics = new TensorShape([.. x.Select((d, i) => i < axis ? d : 1)]);
        }
        context.SetOutput(1, ElementType.Float32, statistics);
        context.SetOutput(2, ElementType.Float32, statistics);
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        int first = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", -1));
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            if (axis < first)
            {
                coupling.Link(x, axis, y, axis);
                foreach (Port statistic in (Port[])[Port.Out(1), Port.Out(2)]) coupling.Link(x, axis, statistic, axis);
                continue;
            }
            coupling.Freeze(x, axis, RefusalReason.NormalizedAxis, "a mean is taken over it");
            coupling.Freeze(y, axis, RefusalReason.NormalizedAxis, "a mean is taken over it");
        }
        foreach (Port vector in (Port[])[Port.In(1), Port.In(2)])
        {
            for (int axis = 0; coupling.Has(vector) && axis < coupling.Rank(vector); axis++)
                coupling.Freeze(vector, axis, RefusalReason.NormalizedAxis, "a mean is taken over it");
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
        return Run(x, context.Input(1), context.Has(2) ? context.Input(2) : null, axis, context.Node.Attributes.Float("epsilon", 1e-5f));
    }

    internal static TensorData?[] Run(TensorData x, TensorData scale, TensorData? bias, int axis, double epsilon)
    {
        int outer = Axes.Product(x.Shape[..axis]), width = Axes.Product(x.Shape[axis..]);
        double[] values = x.ToDoubles(), y = new double[values.Length], mean = new double[outer], inverse = new double[outer];
        for (int i = 0; i < outer; i++) Rows.Standardise(values.AsSpan(i * width, width), y.AsSpan(i * width, width), epsilon, out mean[i], out inverse[i]);
        TensorData result = Rows.ScaleAndShift(TensorData.Wrap(y, x.Shape), scale, bias);
        int[] statistics = [.. x.Shape[..axis], .. Window.Ones(x.Rank - axis)];
        return [result.To(x.ElementType), TensorData.Wrap(mean, statistics).To(ElementType.Float32), TensorData.Wrap(inverse, statistics).To(ElementType.Float32)];
    }
}

/// <summary>RMSNormalization over the axes from "axis" on. Zhang and Sennrich, "Root Mean Square Layer Normalization", eq. 4.</summary>
internal sealed class RmsNormalization() : Operator("RMSNormalization", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        int first = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", -1));
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            if (axis < first)
            {
                coupling.Link(x, axis, y, axis);
                coupling.SetZero(y, axis, coupling.IsZero(x, axis));
                continue;
            }
            coupling.Freeze(x, axis, RefusalReason.NormalizedAxis, "a mean square is taken over it");
            coupling.Freeze(y, axis, RefusalReason.NormalizedAxis, "a mean square is taken over it");
        }
        foreach (Port vector in (Port[])[Port.In(1)])
        {
            for (int axis = 0; coupling.Has(vector) && axis < coupling.Rank(vector); axis++)
                coupling.Freeze(vector, axis, RefusalReason.NormalizedAxis, "a mean square is taken over it");
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
        double epsilon = context.Node.Attributes.Float("epsilon", 1e-5f);
        int outer = Axes.Product(x.Shape[..axis]), width = Axes.Product(x.Shape[axis..]);
        double[] values = x.ToDoubles(), y = new double[values.Length];
        for (int i = 0; i < outer; i++)
        {
            double square = 0;
            for (int k = i * width; k < (i + 1) * width; k++) square += values[k] * values[k];
            double inverse = 1 / Math.Sqrt((square / width) + epsilon);
            for (int k = i * width; k < (i + 1) * width; k++) y[k] = values[k] * inverse;
        }
        return [Rows.ScaleAndShift(TensorData.Wrap(y, x.Shape), context.Input(1), null).To(x.ElementType)];
    }
}

/// <summary>com.microsoft SkipLayerNormalization: LayerNormalization(x + skip + bias) over the last axis.</summary>
internal sealed class SkipLayerNormalization() : Operator("SkipLayerNormalization", "com.microsoft", minInputs: 3, maxInputs: 5, maxOutputs: 4)
{
    public override void Infer(InferenceContext context)
    {
        context.Copy();
        TensorShape? statistics = context.Shape(0) is { } x ? x.With(x.Rank - 1, 1) : null;
        context.SetOutput(1, ElementType.Float32, statistics);
        context.SetOutput(2, ElementType.Float32, statistics);
        context.Copy(0, 3);
    }

    public override void Couple(AxisCoupling coupling)
    {
        int last = coupling.Rank(Port.In(0)) - 1;
        for (int axis = 0; axis < last; axis++)
        {
            foreach (Port port in (Port[])[Port.In(1), Port.Out(), Port.Out(3)]) coupling.Link(Port.In(0), axis, port, axis);
        }
        foreach (Port port in coupling.Ports())
        {
            if (coupling.Size(port, -1) != 1) coupling.Freeze(port, -1, RefusalReason.NormalizedAxis, "a mean is taken over it");
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = Binary.Apply<AddFunction>(context.Input(0), context.Input(1));
        if (context.Has(4)) x = Binary.Apply<AddFunction>(x, context.Input(4));
        TensorData?[] y = LayerNormalization.Run(x, context.Input(2), context.Has(3) ? context.Input(3) : null, x.Rank - 1, context.Node.Attributes.Float("epsilon", 1e-12f));
        return [y[0], y[1], y[2], x];
    }
}

/// <summary>LRN: each value divided by a power of the squares of its neighbour channels. Krizhevsky et al., "ImageNet Classification", section 3.3.</summary>
internal sealed class LocalResponseNormalization() : Operator("LRN")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        coupling.SameExcept(Port.In(0), Port.Out(), [1]);
        foreach (Port port in (Port[])[Port.In(0), Port.Out()]) coupling.Freeze(port, 1, RefusalReason.NormalizedAxis, "neighbour channels divide each other");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        NodeAttributes a = context.Node.Attributes;
        double alpha = a.Float("alpha", 0.0001f), beta = a.Float("beta", 0.75f), bias = a.Float("bias", 1);
        int size = (int)a.Int("size", 1), channels = x.Shape[1], plane = Axes.Product(x.Shape[2..]);
        double[] values = x.ToDoubles(), y = new double[values.Length];
        for (int i = 0; i < y.Length; i++)
        {
            int c = i / plane % channels;
            double square = 0;
            for (int k = Math.Max(0, c - ((size - 1) / 2)); k <= Math.Min(channels - 1, c + (size / 2)); k++)
            {
                double v = values[i + ((k - c) * plane)];
                square += v * v;
            }
            y[i] = values[i] / Math.Pow(bias + (alpha / size * square), beta);
        }
        return [TensorData.Wrap(y, x.Shape).To(x.ElementType)];
    }
}

/// <summary>LpNormalization: division by the 1- or 2-norm along an axis.</summary>
internal sealed class LpNormalization() : Operator("LpNormalization")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0);
        int axis = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", -1));
        coupling.Pointwise(keepsZero: true);
        // Zeros add nothing to the norm.
        if (!coupling.IsZero(x, axis)) coupling.Freeze(x, axis, RefusalReason.NormalizedAxis, "a norm is taken over it");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
        bool absolute = context.Node.Attributes.Int("p", 2) == 1;
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        double[] values = x.ToDoubles(), y = new double[values.Length];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                double norm = 0;
                int start = (o * size * inner) + i;
                for (int k = 0; k < size; k++)
                {
                    double v = values[start + (k * inner)];
                    norm += absolute ? Math.Abs(v) : v * v;
                }
                if (!absolute) norm = Math.Sqrt(norm);
                for (int k = 0; k < size; k++) y[start + (k * inner)] = norm == 0 ? 0 : values[start + (k * inner)] / norm;
            }
        }
        return [TensorData.Wrap(y, x.Shape).To(x.ElementType)];
    }
}

/// <summary>MeanVarianceNormalization over given axes.</summary>
internal sealed class MeanVarianceNormalization() : Operator("MeanVarianceNormalization")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0);
        coupling.Pointwise(keepsZero: true);
        foreach (int axis in Axes.Normalize(coupling.Node.Attributes.Ints("axes") ?? [0, 2, 3], coupling.Rank(x)))
            coupling.Freeze(x, axis, RefusalReason.NormalizedAxis, "a mean is taken over it");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[] over = Axes.Normalize(context.Node.Attributes.Ints("axes") ?? [0, 2, 3], x.Rank);
        int[] order = [.. Enumerable.Range(0, x.Rank).Where(i => !over.Contains(i)), .. over], back = new int[x.Rank];
        for (int i = 0; i < order.Length; i++) back[order[i]] = i;
        TensorData rows = Moving.Transpose(x, order);
        int width = 1;
        foreach (int i in over) width *= x.Shape[i];
        double[] values = rows.ToDoubles(), y = new double[values.Length];
        for (int i = 0; i < values.Length; i += width) Rows.Standardise(values.AsSpan(i, width), y.AsSpan(i, width), 1e-9 * 1e-9, out _, out _);
        return [Moving.Transpose(TensorData.Wrap(y, rows.Shape), back).To(x.ElementType)];
    }
}

/// <summary>Statistics of rows.</summary>
internal static class Rows
{
    /// <summary>y = (x - mean) / sqrt(variance + epsilon).</summary>
    public static void Standardise(ReadOnlySpan<double> x, Span<double> y, double epsilon, out double mean, out double inverse)
    {
        double sum = 0, square = 0;
        foreach (double v in x) sum += v;
        mean = sum / x.Length;
        foreach (double v in x) square += (v - mean) * (v - mean);
        inverse = 1 / Math.Sqrt((square / x.Length) + epsilon);
        for (int i = 0; i < x.Length; i++) y[i] = (x[i] - mean) * inverse;
    }

    public static TensorData ScaleAndShift(TensorData y, TensorData scale, TensorData? bias)
    {
        y = Binary.Apply<MulFunction>(y, scale.To(ElementType.Float64));
        return bias is null ? y : Binary.Apply<AddFunction>(y, bias.To(ElementType.Float64));
    }
}
