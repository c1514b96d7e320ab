using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Dropout: the identity, or in training mode zeros with probability ratio and the rest scaled up.</summary>
internal sealed class Dropout() : Operator("Dropout", minInputs: 1, maxInputs: 3, maxOutputs: 2)
{
    public override bool IsDeterministic => false;

    public override void Infer(InferenceContext context)
    {
        context.Copy();
        context.SetOutput(1, ElementType.Bool, context.Shape(0));
    }

    public override void Couple(AxisCoupling coupling)
    {
        coupling.Pointwise(keepsZero: true);
        if (coupling.Has(Port.Out(1))) coupling.Pointwise(keepsZero: false, output: 1);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        bool training = context.Has(2) && context.Input(2).Array<bool>()[0];
        double ratio = context.Has(1) ? context.Input(1).ToDoubles()[0] : context.Node.Attributes.Float("ratio", 0.5f);
        var kept = new bool[x.Length];
        Array.Fill(kept, true);
        TensorData mask = TensorData.Wrap(kept, x.Shape);
        if (!training || ratio == 0) return [x, mask];
        Random random = context.Node.Attributes.Has("seed") ? new Random(unchecked((int)context.Node.Attributes.Int("seed", 0))) : context.Random;
        double[] values = x.ToDoubles(), y = new double[values.Length];
        for (int i = 0; i < y.Length; i++)
        {
            kept[i] = random.NextDouble() >= ratio;
            y[i] = kept[i] ? values[i] / (1 - ratio) : 0;
        }
        return [TensorData.Wrap(y, x.Shape).To(x.ElementType), mask];
    }
}

/// <summary>RandomNormal, RandomUniform, their Like forms and Bernoulli.</summary>
internal sealed class RandomDraw(string opType) : Operator(opType, minInputs: opType is "RandomNormal" or "RandomUniform" ? 0 : 1)
{
    public override bool IsDeterministic => false;

    private bool HasShapeAttribute => OpType is "RandomNormal" or "RandomUniform";

    public override void Infer(InferenceContext context)
    {
        var type = (ElementType)context.Node.Attributes.Int("dtype", HasShapeAttribute ? 1 : (long)context.Element(0));
        context.SetOutput(0, type, HasShapeAttribute ? TensorShape.Of(Shape(context.Node)) : context.Shape(0));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        NodeAttributes a = context.Node.Attributes;
        int[] shape = HasShapeAttribute ? Shape(context.Node) : context.Input(0).Shape.ToArray();
        var type = (ElementType)a.Int("dtype", HasShapeAttribute ? 1 : (long)context.Input(0).ElementType);
        Random random = a.Has("seed") ? new Random(BitConverter.SingleToInt32Bits(a.Float("seed", 0))) : context.Random;
        var y = new double[Axes.Product(shape)];
        double[] odds = OpType == "Bernoulli" ? context.Input(0).ToDoubles() : [];
        for (int i = 0; i < y.Length; i++)
        {
            y[i] = OpType switch
            {
                "Bernoulli" => random.NextDouble() < odds[i] ? 1 : 0,
                "RandomNormal" or "RandomNormalLike" => a.Float("mean", 0) + (a.Float("scale", 1) * Initializer.NextNormal(random)),
                _ => a.Float("low", 0) + ((a.Float("high", 1) - a.Float("low", 0)) * random.NextDouble()),
            };
        }
        return [TensorData.Wrap(y, shape).To(type)];
    }

    private static int[] Shape(Node node) => Window.Narrow(node.Attributes.Ints("shape") ?? throw new ArgumentException("there is no shape"));
}

/// <summary>HannWindow, HammingWindow and BlackmanWindow: cosine sums of a given length.</summary>
internal sealed class CosineWindow(string opType, double a0, double a1, double a2) : Operator(opType)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, (ElementType)context.Node.Attributes.Int("output_datatype", 1),
        new TensorShape(context.Integers(0) is { } n ? (int)n[0] : Dimension.Unknown));

    // Positions stay as they are.
    public override void Couple(AxisCoupling coupling)
    {
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        int size = checked((int)context.Input(0).ToInt64s()[0]);
        double period = context.Node.Attributes.Int("periodic", 1) == 1 ? size : size - 1;
        var y = new double[size];
        for (int i = 0; i < size; i++)
        {
            double angle = 2 * Math.PI * i / period;
            y[i] = a0 - (a1 * Math.Cos(angle)) + (a2 * Math.Cos(2 * angle));
        }
        return [TensorData.Vector(y).To((ElementType)context.Node.Attributes.Int("output_datatype", 1))];
    }
}

/// <summary>Det: determinants of the last two axes, by elimination with pivots.</summary>
internal sealed class Determinant() : Operator("Det")
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Shape(0) is { Rank: >= 2 } x ? new TensorShape([.. x.Take(x.Rank - 2)]) : null);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int n = x.Shape[^1];
        if (x.Rank < 2 || x.Shape[^2] != n) throw context.Error("matrices must be square");
        double[] all = (double[])x.ToDoubles().Clone();
        var y = new double[Axes.Product(x.Shape[..^2])];
        for (int b = 0; b < y.Length; b++)
        {
            Span<double> m = all.AsSpan(b * n * n, n * n);
            double product = 1;
            for (int c = 0; c < n && product != 0; c++)
            {
                int pivot = c;
                for (int r = c + 1; r < n; r++)
                {
                    if (Math.Abs(m[(r * n) + c]) > Math.Abs(m[(pivot * n) + c])) pivot = r;
                }
                if (pivot != c)
                {
                    product = -product;
                    for (int k = 0; k < n; k++) (m[(c * n) + k], m[(pivot * n) + k]) = (m[(pivot * n) + k], m[(c * n) + k]);
                }
                double head = m[(c * n) + c];
                product *= head;
                for (int r = c + 1; r < n && head != 0; r++)
                {
                    double factor = m[(r * n) + c] / head;
                    for (int k = c; k < n; k++) m[(r * n) + k] -= factor * m[(c * n) + k];
                }
            }
            y[b] = product;
        }
        return [TensorData.Wrap(y, x.Shape[..^2]).To(x.ElementType)];
    }
}
