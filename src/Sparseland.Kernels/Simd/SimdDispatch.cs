namespace Sparseland.Kernels.Simd;

/// <summary>A call that is compiled once per register width.</summary>
internal interface ILevelWork
{
    /// <summary>Runs the work with registers of type <typeparamref name="V"/>.</summary>
    void Run<V>() where V : unmanaged, IVector<V>;
}

/// <summary>Calls work with the register type of the level in use.</summary>
internal static class SimdDispatch
{
    [ThreadStatic]
    private static int t_levelPlusOne;

    /// <summary>The level that kernels called from this thread use.</summary>
    public static SimdLevel Level
    {
        get
        {
            int forced = t_levelPlusOne;
            return forced == 0 ? SimdSupport.Level : (SimdLevel)(forced - 1);
        }
    }

    /// <summary>Runs work at <see cref="Level"/>.</summary>
    public static void Run<TWork>(TWork work) where TWork : ILevelWork
    {
        switch (Level)
        {
            case SimdLevel.Vector512: work.Run<V512>(); break;
            case SimdLevel.Vector256: work.Run<V256>(); break;
            case SimdLevel.Vector128: work.Run<V128>(); break;
            default: work.Run<V1>(); break;
        }
    }

    /// <summary>Forces a level on this thread until the result is disposed; this is how tests compare levels in one process.</summary>
    public static Forced Force(SimdLevel level)
    {
        int before = t_levelPlusOne;
        t_levelPlusOne = (int)level + 1;
        return new Forced(before);
    }

    /// <summary>Restores the level that was in use before <see cref="Force"/>.</summary>
    public readonly struct Forced(int before) : IDisposable
    {
        /// <inheritdoc/>
        public void Dispose() => t_levelPlusOne = before;
    }
}
