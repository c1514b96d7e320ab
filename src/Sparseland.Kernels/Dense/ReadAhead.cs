namespace Sparseland.Kernels.Dense;

/// <summary>What the next tile of queries will read and write: asked for in the innermost loops of this tile's products, a line in some steps, so that it comes while there is arithmetic to do.</summary>
/// <remarks>A bias per head comes from memory. Asked for all at once, its lines would hold up the loads of what is computed.</remarks>
internal unsafe struct ReadAhead
{
    private const int MostRegions = 4, Line = 64;

    private fixed long _starts[MostRegions], _ends[MostRegions];
    private int _count, _region;
    private nint _pace;

    /// <summary>Adds memory to what is asked for.</summary>
    public void Add(float* first, long floats)
    {
        if (floats <= 0) return;
        _starts[_count] = (long)first;
        _ends[_count++] = (long)(first + floats);
    }

    /// <summary>Divides what there is among so many steps of innermost loops.</summary>
    public void Spread(long steps)
    {
        long bytes = 0;
        for (int i = 0; i < _count; i++) bytes += _ends[i] - _starts[i];
        _pace = (nint)Math.Clamp((bytes / Math.Max(steps, 1)) + 1, Line / 4, Line);
    }

    /// <summary>Where a loop of <paramref name="steps"/> steps begins to ask, and by how many bytes it goes on from step to step; somewhere near and 0 when nothing is left.</summary>
    public nint Take(int steps, float* near, out float* first)
    {
        if (_region == _count)
        {
            first = near;
            return 0;
        }
        first = (float*)_starts[_region];
        _starts[_region] += steps * _pace;
        if (_starts[_region] >= _ends[_region]) _region++;
        return _pace;
    }
}
