namespace Sparseland.Training.Autograd;

/// <summary>Whether operations on this thread are recorded for differentiation.</summary>
public static class GradientMode
{
    [ThreadStatic]
    private static int t_off;

    /// <summary>Whether operations are recorded.</summary>
    public static bool IsOn => t_off == 0;

    /// <summary>Switches recording off on this thread until the result is disposed; may be nested.</summary>
    /// <example><code>using (GradientMode.Off()) { Tensor y = model.Forward(x); }</code></example>
    public static IDisposable Off()
    {
        t_off++;
        return new Scope();
    }

    private sealed class Scope : IDisposable
    {
        private bool _disposed;

        public void Dispose()
        {
            if (_disposed) return;
            _disposed = true;
            t_off--;
        }
    }
}
