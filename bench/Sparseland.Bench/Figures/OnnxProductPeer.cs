using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;

namespace Sparseland.Bench.Figures;

/// <summary>One matrix product in ONNX Runtime, in the form in which it prepares a constant weight: a 1x1 convolution, or a product with the weight on the right.</summary>
internal static class OnnxProductPeer
{
    /// <summary>Starts it on W [m, k] X [k, n] with both operands given.</summary>
    /// <param name="w">W, row-major.</param>
    /// <param name="x">X, row-major.</param>
    /// <param name="m">Rows of W: output channels or features.</param>
    /// <param name="k">Columns of W.</param>
    /// <param name="n">Columns of X: pixels or tokens.</param>
    /// <param name="convolution">As a 1x1 convolution of n pixels; else as n tokens times the transposed weight.</param>
    /// <exception cref="InvalidOperationException">It cannot start; the message says why.</exception>
    public static InferencePeer Start(float[] w, float[] x, int m, int k, int n, bool convolution)
    {
        var g = new GraphBuilder("product");
        Value input = convolution ? g.Input("x", ElementType.Float32, 1, k, 1, n) : g.Input("x", ElementType.Float32, n, k);
        Value weight = g.Constant(convolution ? TensorData.Wrap(w, m, k, 1, 1) : TensorData.Wrap(Transposed(w, m, k), k, m), "w");
        g.Output("y", convolution ? g.Conv(input, weight, Value.None) : g.MatMul(input, weight));
        var inputs = new Dictionary<string, TensorData> { ["x"] = convolution ? TensorData.Wrap(x, 1, k, 1, n) : TensorData.Wrap(Transposed(x, k, n), n, k) };
        return OnnxRuntimePeer.Start(g.Build(), inputs, WorkPool.Threads);
    }

    /// <summary>Its result as Y [m, n].</summary>
    public static float[] Result(InferencePeer peer, int m, int n, bool convolution)
    {
        float[] y = peer.Outputs()["y"].ToSingles();
        return convolution ? y : Transposed(y, n, m);
    }

    /// <summary>A matrix [rows, columns] as [columns, rows].</summary>
    public static float[] Transposed(ReadOnlySpan<float> a, int rows, int columns)
    {
        var t = new float[a.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) t[c * rows + r] = a[r * columns + c];
        }
        return t;
    }
}
