using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Softmax, LogSoftmax and Hardmax along one axis.</summary>
internal sealed class AxisNormalisation(string opType) : Operator(opType)
{
    public override void Infer(InferenceContext context)
    {
        if (context.Shape(0) is { } x && x.Rank > 0) Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
        context.Copy();
    }

    public override void Couple(AxisCoupling coupling)
    {
        coupling.Pointwise(keepsZero: false);
        coupling.Freeze(Port.In(0), (int)coupling.Node.Attributes.Int("axis", -1), RefusalReason.NormalizedAxis, $"{OpType} runs over it");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank);
        return [Run(x, axis, OpType)];
    }

    internal static TensorData Run(TensorData x, int axis, string kind)
    {
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        double[] values = x.ToDoubles(), y = new double[values.Length], row = new double[size];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                int start = (o * size * inner) + i;
                for (int k = 0; k < size; k++) row[k] = values[start + (k * inner)];
                Row(row, kind);
                for (int k = 0; k < size; k++) y[start + (k * inner)] = row[k];
            }
        }
        return TensorData.Wrap(y, x.Shape).To(x.ElementType);
    }

    private static void Row(double[] row, string kind)
    {
        if (row.Length == 0) return;
        double max = row.Max();
        if (kind == "Hardmax")
        {
            int at = Array.IndexOf(row, max);
            Array.Clear(row);
            row[Math.Max(0, at)] = 1;
            return;
        }
        double sum = 0;
        for (int k = 0; k < row.Length; k++) sum += Math.Exp(row[k] - max);
        double log = Math.Log(sum);
        for (int k = 0; k < row.Length; k++) row[k] = kind == "LogSoftmax" ? row[k] - max - log : Math.Exp(row[k] - max) / sum;
    }
}
