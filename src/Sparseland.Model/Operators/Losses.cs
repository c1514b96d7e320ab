using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>NegativeLogLikelihoodLoss: minus the log-probability of the class, weighted, perhaps averaged.</summary>
internal sealed class NegativeLogLikelihoodLoss() : Operator("NegativeLogLikelihoodLoss", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(0),
        context.Node.Attributes.String("reduction", "mean") == "none" ? context.Shape(1) : TensorShape.Scalar);

    public override TensorData?[] Evaluate(EvaluationContext context) =>
        [Run(context, context.Input(0).ToDoubles()).To(context.Input(0).ElementType)];

    /// <summary>logProbabilities [n, c, d...], labels [n, d...], weights [c] or none.</summary>
    internal static TensorData Run(EvaluationContext context, double[] logProbabilities)
    {
        TensorData x = context.Input(0), labels = context.Input(1);
        double[]? weights = context.Has(2) ? context.Input(2).ToDoubles() : null;
        long? ignored = context.Node.Attributes.Has("ignore_index") ? context.Node.Attributes.Int("ignore_index", 0) : null;
        int classes = x.Shape[1], plane = Axes.Product(x.Shape[2..]);
        long[] targets = labels.ToInt64s();
        var losses = new double[targets.Length];
        double total = 0, weight = 0;
        for (int i = 0; i < losses.Length; i++)
        {
            if (targets[i] == ignored) continue;
            if (targets[i] < 0 || targets[i] >= classes) throw context.Error($"label {targets[i]} is outside {classes} classes");
            double w = weights?[targets[i]] ?? 1;
            losses[i] = -w * logProbabilities[(((i / plane * classes) + (int)targets[i]) * plane) + (i % plane)];
            total += losses[i];
            weight += w;
        }
        return context.Node.Attributes.String("reduction", "mean") switch
        {
            "none" => TensorData.Wrap(losses, labels.Shape),
            "sum" => TensorData.Scalar(total),
            _ => TensorData.Scalar(total / weight),
        };
    }
}

/// <summary>SoftmaxCrossEntropyLoss: the same on logits; the second output is the log-probabilities.</summary>
internal sealed class SoftmaxCrossEntropyLoss() : Operator("SoftmaxCrossEntropyLoss", minInputs: 2, maxInputs: 3, maxOutputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        context.SetOutput(0, context.Element(0), context.Node.Attributes.String("reduction", "mean") == "none" ? context.Shape(1) : TensorShape.Scalar);
        context.Copy(0, 1);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        TensorData log = AxisNormalisation.Run(x.To(ElementType.Float64), 1, "LogSoftmax");
        return [NegativeLogLikelihoodLoss.Run(context, log.Array<double>()).To(x.ElementType), log.To(x.ElementType)];
    }
}
