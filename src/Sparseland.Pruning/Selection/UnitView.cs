using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Selection;

/// <summary>A layer cut into the units that a pattern removes as a whole: weights, tiles, rows or columns of [outputs, inputs].</summary>
/// <remarks>Units are numbered row by row over the grid of the matrix; unstructured units are the weights in their own order.</remarks>
internal sealed class UnitView
{
    private readonly PrunableLayer _layer;
    private readonly int _height, _width, _gridColumns;
    private readonly bool _single;

    public UnitView(PrunableLayer layer, SparsityPattern pattern)
    {
        _layer = layer;
        _single = pattern.Kind is SparsityKind.Unstructured;
        (_height, _width) = pattern.Kind switch
        {
            SparsityKind.Block => (pattern.A, pattern.B),
            SparsityKind.Row => (1, Math.Max(1, layer.Columns)),
            SparsityKind.Column => (Math.Max(1, layer.Rows), 1),
            SparsityKind.Unstructured => (1, 1),
            _ => throw new ArgumentException($"{pattern} has no units.", nameof(pattern)),
        };
        _gridColumns = (layer.Columns + _width - 1) / _width;
        Count = _single ? layer.Length : (layer.Rows + _height - 1) / _height * _gridColumns;
    }

    /// <summary>Number of units.</summary>
    public int Count { get; }

    /// <summary>Mean score of every unit (so that units cut off at an edge compare fairly); removed weights count as zero.</summary>
    public float[] Scores(float[] scores)
    {
        if (_single) return scores;
        float[] matrix = _layer.ToMatrix(scores);
        double[] sums = new double[Count];
        int[] sizes = new int[Count];
        for (int i = 0; i < matrix.Length; i++)
        {
            int unit = Unit(i);
            sums[unit] += matrix[i];
            sizes[unit]++;
        }
        float[] result = new float[Count];
        for (int u = 0; u < result.Length; u++) result[u] = (float)(sums[u] / Math.Max(1, sizes[u]));
        return result;
    }

    /// <summary>Units of which a weight is left.</summary>
    public bool[] Alive(bool[] alive)
    {
        if (_single) return alive;
        bool[] matrix = _layer.ToMatrix(alive), result = new bool[Count];
        for (int i = 0; i < matrix.Length; i++) result[Unit(i)] |= matrix[i];
        return result;
    }

    /// <summary>Flags of weights, in the weight's own order, from flags of units.</summary>
    public bool[] Expand(bool[] kept)
    {
        if (_single) return kept;
        bool[] matrix = new bool[_layer.Length];
        for (int i = 0; i < matrix.Length; i++) matrix[i] = kept[Unit(i)];
        return _layer.FromMatrix(matrix);
    }

    private int Unit(int index)
    {
        int row = index / _layer.Columns, column = index % _layer.Columns;
        return row / _height * _gridColumns + column / _width;
    }
}
