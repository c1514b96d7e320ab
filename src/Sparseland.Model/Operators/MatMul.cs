using System.Numerics;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>MatMul with NumPy's rules: last two axes multiply, the others broadcast, vectors gain an axis that is removed again.</summary>
internal sealed class MatMul() : Operator("MatMul", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        if (context.Element(0) != context.Element(1)) throw context.Error("the inputs are of different element types");
        context.SetOutput(0, context.Element(0), InferShape(context, context.Shape(0), context.Shape(1)));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port a = Port.In(0), b = Port.In(1), y = Port.Out();
        int rankA = coupling.Rank(a), rankB = coupling.Rank(b), rank = coupling.Rank(y);
        int matrixAxes = (rankA > 1 ? 1 : 0) + (rankB > 1 ? 1 : 0);
        coupling.Contract(a, rankA - 1, b, Math.Max(0, rankB - 2));
        if (rankA > 1) Same(a, rankA - 2, rank - matrixAxes);
        if (rankB > 1) Same(b, rankB - 1, rank - 1);
        for (int axis = 0; axis < rank - matrixAxes; axis++)
        {
            int ownA = axis - (rank - matrixAxes) + Math.Max(0, rankA - 2), ownB = axis - (rank - matrixAxes) + Math.Max(0, rankB - 2);
            Batch(a, ownA, axis);
            Batch(b, ownB, axis);
        }
        if (rankA > 2 && rankB > 2) coupling.MarkHeads(a, rankA - 3);

        void Same(Port x, int axis, int to)
        {
            coupling.Link(x, axis, y, to);
            coupling.SetZero(y, to, coupling.IsZero(x, axis));
        }

        void Batch(Port x, int axis, int to)
        {
            if (axis < 0) return;
            if (coupling.Size(x, axis) == 1 && coupling.Size(y, to) != 1) coupling.Free(x, axis);
            else Same(x, axis, to);
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c => [Multiply(c.Input(0), c.Input(1))]);

    internal static TensorShape? InferShape(InferenceContext context, TensorShape? a, TensorShape? b)
    {
        if (a is null || b is null) return null;
        if (a.Rank == 0 || b.Rank == 0) throw context.Error("scalars cannot be multiplied as matrices");
        Dimension k = a[a.Rank - 1], other = b[Math.Max(0, b.Rank - 2)];
        if (k.IsKnown && other.IsKnown && k != other) throw context.Error($"inner sizes differ: {a} and {b}");
        var lead = context.Broadcast(new TensorShape([.. a.Take(Math.Max(0, a.Rank - 2))]), new TensorShape([.. b.Take(Math.Max(0, b.Rank - 2))]))!;
        var sizes = lead.ToList();
        if (a.Rank > 1) sizes.Add(a[a.Rank - 2]);
        if (b.Rank > 1) sizes.Add(b[b.Rank - 1]);
        return new TensorShape([.. sizes]);
    }

    internal static TensorData Multiply(TensorData a, TensorData b) => a.ElementType switch
    {
        ElementType.Float32 => Multiply<float>(a, b),
        ElementType.Float64 => Multiply<double>(a, b),
        ElementType.Int32 => Multiply<int>(a, b),
        ElementType.Int64 => Multiply<long>(a, b),
        ElementType.UInt32 => Multiply<uint>(a, b),
        ElementType.UInt64 => Multiply<ulong>(a, b),
        _ => throw new NotSupportedException($"matrices of {a.ElementType} are not allowed"),
    };

    private static TensorData Multiply<T>(TensorData a, TensorData b) where T : unmanaged, INumber<T>
    {
        int[] left = a.Rank == 1 ? [1, a.Shape[0]] : a.Shape.ToArray(), right = b.Rank == 1 ? [b.Shape[0], 1] : b.Shape.ToArray();
        int m = left[^2], k = left[^1], n = right[^1];
        if (right[^2] != k) throw new ArgumentException($"inner sizes differ: {a} and {b}");
        int[] lead = Axes.Broadcast(left[..^2], right[..^2]);
        int[] stepsA = Axes.BroadcastStrides(left.AsSpan()[..^2], lead), stepsB = Axes.BroadcastStrides(right.AsSpan()[..^2], lead);
        int batches = Axes.Product(lead);
        TensorData y = TensorData.Zeros(a.ElementType, [.. lead, m, n]);
        ReadOnlySpan<T> x = a.Span<T>(), w = b.Span<T>();
        Span<T> z = y.Span<T>();
        if (batches > 1 && Axes.Product(right.AsSpan()[..^2]) == 1 && a.Length == batches * m * k)
        {
            // One matrix on the right for all batches: the batches are rows of one product.
            MatrixProduct.Run(batches * m, n, k, x, w, z);
        }
        else
        {
            int[] at = new int[lead.Length];
            for (int i = 0; i < batches; i++)
            {
                int p = 0, q = 0;
                for (int d = 0; d < at.Length; d++) (p, q) = (p + (at[d] * stepsA[d]), q + (at[d] * stepsB[d]));
                MatrixProduct.Run(m, n, k, x.Slice(p * m * k, m * k), w.Slice(q * k * n, k * n), z.Slice(i * m * n, m * n));
                Axes.Next(at, lead);
            }
        }
        var shape = lead.ToList();
        if (a.Rank > 1) shape.Add(m);
        if (b.Rank > 1) shape.Add(n);
        return y.Reshape([.. shape]);
    }
}

/// <summary>Gemm: alpha op(A) op(B) + beta C for matrices, C broadcast.</summary>
internal sealed class GeneralMatrixProduct() : Operator("Gemm", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        bool ta = context.Node.Attributes.Int("transA", 0) != 0, tb = context.Node.Attributes.Int("transB", 0) != 0;
        Dimension m = Dimension.Unknown, n = Dimension.Unknown, ka = Dimension.Unknown, kb = Dimension.Unknown;
        if (context.Shape(0) is { } a)
        {
            if (a.Rank != 2) throw context.Error($"A {a} is no matrix");
            (m, ka) = ta ? (a[1], a[0]) : (a[0], a[1]);
        }
        if (context.Shape(1) is { } b)
        {
            if (b.Rank != 2) throw context.Error($"B {b} is no matrix");
            (kb, n) = tb ? (b[1], b[0]) : (b[0], b[1]);
        }
        if (ka.IsKnown && kb.IsKnown && ka != kb) throw context.Error($"inner sizes differ: {ka} and {kb}");
        context.SetOutput(0, context.Element(0), new TensorShape(m, n));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port a = Port.In(0), b = Port.In(1), c = Port.In(2), y = Port.Out();
        int rows = coupling.Node.Attributes.Int("transA", 0) != 0 ? 1 : 0, columns = coupling.Node.Attributes.Int("transB", 0) != 0 ? 0 : 1;
        coupling.Contract(a, 1 - rows, b, 1 - columns);
        coupling.Link(a, rows, y, 0);
        coupling.Link(b, columns, y, 1);
        bool zeroRows = coupling.IsZero(a, rows), zeroColumns = coupling.IsZero(b, columns);
        if (coupling.Has(c))
        {
            zeroColumns &= Bias(coupling.Rank(c) - 1, 1);
            zeroRows &= Bias(coupling.Rank(c) - 2, 0);
        }
        coupling.SetZero(y, 0, zeroRows);
        coupling.SetZero(y, 1, zeroColumns);

        bool Bias(int axis, int to)
        {
            if (axis < 0) return false;
            if (coupling.Size(c, axis) == 1 && coupling.Size(y, to) != 1)
            {
                coupling.Free(c, axis);
                return false;
            }
            coupling.Link(c, axis, y, to);
            return coupling.IsZero(c, axis);
        }
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c =>
    {
        TensorData a = c.Input(0), b = c.Input(1);
        if (a.Rank != 2 || b.Rank != 2) throw c.Error("A and B must be matrices");
        bool ta = c.Node.Attributes.Int("transA", 0) != 0, tb = c.Node.Attributes.Int("transB", 0) != 0;
        float alpha = c.Node.Attributes.Float("alpha", 1), beta = c.Node.Attributes.Float("beta", 1);
        TensorData y = a.ElementType switch
        {
            ElementType.Float32 => Multiply<float>(c, a, b, ta, tb),
            ElementType.Float64 => Multiply<double>(c, a, b, ta, tb),
            _ => MatMul.Multiply(ta ? Moving.Transpose(a, [1, 0]) : a, tb ? Moving.Transpose(b, [1, 0]) : b),
        };
        if (alpha != 1) y = Binary.Apply<MulFunction>(y, TensorData.Scalar(alpha).To(y.ElementType));
        if (!c.Has(2)) return [y];
        TensorData bias = c.Input(2);
        if (beta != 1) bias = Binary.Apply<MulFunction>(bias, TensorData.Scalar(beta).To(y.ElementType));
        TensorData sum = Binary.Apply<AddFunction>(y, bias);
        return [sum.Shape.SequenceEqual(y.Shape) ? sum : throw c.Error("C does not broadcast to the product")];
    });

    private static TensorData Multiply<T>(EvaluationContext context, TensorData a, TensorData b, bool ta, bool tb) where T : unmanaged, INumber<T>
    {
        int m = a.Shape[ta ? 1 : 0], k = a.Shape[ta ? 0 : 1], n = b.Shape[tb ? 0 : 1];
        if (b.Shape[tb ? 1 : 0] != k) throw context.Error("inner sizes differ");
        TensorData y = TensorData.Zeros(a.ElementType, m, n);
        MatrixProduct.Run<T>(m, n, k, a.Span<T>(), b.Span<T>(), y.Span<T>(), ta, tb);
        return y;
    }
}

/// <summary>MatMulInteger: 8-bit matrices with zero points, 32-bit result.</summary>
internal sealed class MatMulInteger() : Operator("MatMulInteger", minInputs: 2, maxInputs: 4)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, ElementType.Int32, MatMul.InferShape(context, context.Shape(0), context.Shape(1)));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData a = Centred(context.Input(0), context.Has(2) ? context.Input(2) : null, rows: true);
        TensorData b = Centred(context.Input(1), context.Has(3) ? context.Input(3) : null, rows: false);
        return [MatMul.Multiply(a, b)];
    }

    /// <summary>Values minus their zero point (a scalar, or one per row of the left and per column of the right matrix).</summary>
    internal static TensorData Centred(TensorData x, TensorData? zero, bool rows)
    {
        x = x.To(ElementType.Int32);
        if (zero is null) return x;
        zero = zero.To(ElementType.Int32);
        if (zero.Rank == 1 && zero.Length > 1 && rows) zero = zero.Reshape(zero.Length, 1);
        else if (zero.Length == 1) zero = zero.Reshape();
        return Binary.Apply<SubFunction>(x, zero);
    }
}

/// <summary>QLinearMatMul: quantised matrices in, quantised matrix out.</summary>
internal sealed class QLinearMatMul() : Operator("QLinearMatMul", minInputs: 8)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(7), MatMul.InferShape(context, context.Shape(0), context.Shape(3)));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData sum = MatMul.Multiply(
            MatMulInteger.Centred(context.Input(0), context.Input(2), rows: true),
            MatMulInteger.Centred(context.Input(3), context.Input(5), rows: false)).To(ElementType.Float64);
        TensorData scaleA = context.Input(1).To(ElementType.Float64), scaleB = context.Input(4).To(ElementType.Float64);
        if (scaleA is { Rank: 1, Length: > 1 }) scaleA = scaleA.Reshape(scaleA.Length, 1);
        TensorData y = Binary.Apply<MulFunction>(Binary.Apply<MulFunction>(sum, scaleA), scaleB);
        y = Binary.Apply<DivFunction>(y, context.Input(6).To(ElementType.Float64));
        TensorData zero = context.Input(7);
        return [Quantisation.Saturate(y.Array<double>(), sum.Shape, zero.ElementType, zero.ToInt64s()[0])];
    }
}
