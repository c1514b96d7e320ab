using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Softmax and LogSoftmax along one axis.</summary>
internal static class Softmax
{
    public static Tensor Apply(Tensor x, int axis, bool log)
    {
        if (axis != x.Rank - 1)
        {
            int[] order = [.. Enumerable.Range(0, x.Rank)];
            (order[axis], order[^1]) = (order[^1], order[axis]);
            Tensor moved = Transpose.Apply(x, order), inner = Last(moved, log);
            moved.Storage.Release();
            Tensor back = Transpose.Apply(inner, order);
            inner.Storage.Release();
            return back;
        }
        return Last(x, log);
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        return [x.Rank == 0 ? Views.Reshape(Last(Views.Reshape(x, [1]), c.Node.OpType == "LogSoftmax"), [])
            : Apply(x, Views.Axis(c.Attributes.Int("axis", -1), x.Rank), c.Node.OpType == "LogSoftmax")];
    }

    /// <summary>y = softmax of every row; unrecorded. Rows whose maximum is minus infinity become NaN, as the definition has it.</summary>
    public static void Row(ReadOnlySpan<float> x, Span<float> y)
    {
        float max = TensorPrimitives.Max(x);
        TensorPrimitives.Subtract(x, max, y);
        TensorPrimitives.Exp(y, y);
        TensorPrimitives.Divide(y, LaneMath.Sum(y), y);
    }

    private static Tensor Last(Tensor x, bool log)
    {
        int length = x.Shape[^1], rows = length == 0 ? 0 : x.Length / length;
        Tensor y = Tensor.Uninitialized(x.Shape);
        float[] from = x.Array, to = y.Array;
        Chunks.Rows(rows, length, r =>
        {
            ReadOnlySpan<float> source = from.AsSpan(r * length, length);
            Span<float> target = to.AsSpan(r * length, length);
            if (!log)
            {
                Row(source, target);
                return;
            }
            float max = TensorPrimitives.Max(source);
            TensorPrimitives.Subtract(source, max, target);
            double sum = 0;
            foreach (float v in target) sum += Math.Exp(v);
            TensorPrimitives.Subtract(target, (float)Math.Log(sum), target);
        });
        return Tape.Record(log ? "LogSoftmax" : "Softmax", y, [x], [y], flow =>
        {
            Tensor gradient = flow.Take();
            float[] g = gradient.Array, s = y.Array;
            Chunks.Rows(rows, length, r =>
            {
                Span<float> target = g.AsSpan(r * length, length);
                ReadOnlySpan<float> result = s.AsSpan(r * length, length);
                if (log)
                {
                    float sum = LaneMath.Sum(target);
                    for (int i = 0; i < length; i++) target[i] -= MathF.Exp(result[i]) * sum;
                    return;
                }
                float dot = LaneMath.Dot(target, result);
                TensorPrimitives.Subtract(target, dot, target);
                TensorPrimitives.Multiply(target, result, target);
            });
            flow.Give(0, gradient);
        });
    }
}
