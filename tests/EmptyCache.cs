using System.Runtime.CompilerServices;

namespace Sparseland.Testing;

/// <summary>Tests, and the processes that they start, have the built-in break-even points: what whoever runs them has measured on this machine would decide about plans.</summary>
internal static class EmptyCache
{
    [ModuleInitializer]
    internal static void Use() => Environment.SetEnvironmentVariable("SPARSELAND_CACHE", Path.Combine(Path.GetTempPath(), $"sparseland-no-cache-{Guid.NewGuid():N}"));
}
