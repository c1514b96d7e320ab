using System.Reflection;

namespace Sparseland.Cli.Tests.House;

/// <summary>The checkout that the tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    /// <summary>The product's assemblies, lowest floor first.</summary>
    public static IReadOnlyList<(string Name, int Floor, Assembly Assembly)> Floors { get; } =
    [
        ("Sparseland.Kernels", 1, typeof(Kernels.Sparse.Mask).Assembly),
        ("Sparseland.Model", 2, typeof(Model.Graph.ModelGraph).Assembly),
        ("Sparseland.Training", 3, Assembly.Load("Sparseland.Training")),
        ("Sparseland.Runtime", 3, Assembly.Load("Sparseland.Runtime")),
        ("Sparseland.Pruning", 4, Assembly.Load("Sparseland.Pruning")),
        ("Sparseland.Reproductions", 6, Assembly.Load("Sparseland.Reproductions")),
        ("sparseland", 7, Assembly.Load("sparseland")),
    ];

    private static string FindRoot()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            if (File.Exists(Path.Combine(d.FullName, "Sparseland.slnx"))) return d.FullName;
        }
        throw new InvalidOperationException("The tests do not run from inside a checkout.");
    }
}
