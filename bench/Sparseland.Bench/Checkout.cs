using Sparseland.Cli.Hosting;

namespace Sparseland.Bench;

/// <summary>The checkout that this program was built in.</summary>
internal static class Checkout
{
    /// <summary>Its committed figures: a folder for each machine.</summary>
    /// <exception cref="VerbException">The program stands in none.</exception>
    public static string Results => Path.Combine(Root(), "bench", "results");

    /// <summary>Its folder.</summary>
    /// <exception cref="VerbException">The program stands in none.</exception>
    public static string Root()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            if (File.Exists(Path.Combine(d.FullName, "Sparseland.slnx"))) return d.FullName;
        }
        throw VerbException.Usage("this program stands in no checkout", "name the folders with the command's options (see --help)");
    }
}
