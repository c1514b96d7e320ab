namespace Sparseland.Model.Operators.Support;

/// <summary>Walks several broadcast tensors row by row: neighbouring axes that advance alike are merged first.</summary>
internal ref struct BroadcastLoop
{
    private readonly int[] _sizes;
    private readonly int[][] _steps;
    private readonly int[] _at;
    private readonly int[] _offsets;

    public BroadcastLoop(ReadOnlySpan<int> shape, params ReadOnlySpan<int[]> strides)
    {
        int inputs = strides.Length;
        var sizes = new List<int>();
        var steps = new List<int>[inputs];
        for (int k = 0; k < inputs; k++) steps[k] = [];
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] == 1) continue;
            bool merge = sizes.Count > 0;
            for (int k = 0; k < inputs && merge; k++) merge = steps[k][^1] == strides[k][i] * shape[i];
            if (merge) sizes[^1] *= shape[i];
            else sizes.Add(shape[i]);
            for (int k = 0; k < inputs; k++)
            {
                if (merge) steps[k][^1] = strides[k][i];
                else steps[k].Add(strides[k][i]);
            }
        }
        if (sizes.Count == 0)
        {
            sizes.Add(1);
            for (int k = 0; k < inputs; k++) steps[k].Add(1);
        }
        _sizes = [.. sizes];
        _steps = new int[inputs][];
        for (int k = 0; k < inputs; k++) _steps[k] = [.. steps[k]];
        _at = new int[_sizes.Length];
        _offsets = new int[inputs];
    }

    /// <summary>Elements of one row.</summary>
    public readonly int Inner => _sizes[^1];

    /// <summary>Where input <paramref name="k"/> of the present row begins.</summary>
    public readonly int Offset(int k) => _offsets[k];

    /// <summary>Distance of neighbours of input <paramref name="k"/> within a row.</summary>
    public readonly int Step(int k) => _steps[k][^1];

    /// <summary>Goes to the next row.</summary>
    public readonly void Next()
    {
        for (int axis = _sizes.Length - 2; axis >= 0; axis--)
        {
            for (int k = 0; k < _offsets.Length; k++) _offsets[k] += _steps[k][axis];
            if (++_at[axis] < _sizes[axis]) return;
            for (int k = 0; k < _offsets.Length; k++) _offsets[k] -= _steps[k][axis] * _sizes[axis];
            _at[axis] = 0;
        }
    }
}
