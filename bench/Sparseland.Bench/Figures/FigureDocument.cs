using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.Json.Nodes;
using Sparseland.Bench.Page;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Figures;

/// <summary>What a figure's file says beside its rows, and where it goes.</summary>
internal static class FigureDocument
{
    /// <summary>The rows with the machine, its load, the commit, the date and the command.</summary>
    /// <param name="figure">The figure's name.</param>
    /// <param name="command">The command that measures it again, without where its result goes.</param>
    /// <param name="took">How long it was measured.</param>
    /// <param name="rows">What was measured.</param>
    public static JsonObject Make(string figure, string command, TimeSpan took, JsonArray rows) => new()
    {
        ["figure"] = figure,
        ["date"] = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture),
        ["commit"] = Commit(),
        ["command"] = command,
        ["machine"] = MachineInfo.Current.ToJson(),
        ["load"] = Load(),
        ["seconds"] = Math.Round(took.TotalSeconds, 1),
        ["rows"] = rows,
    };

    /// <summary>Writes it whole or not at all.</summary>
    public static void Write(string file, JsonObject document)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        string temporary = file + ".tmp";
        File.WriteAllText(temporary, document.ToJsonString(JsonText.Indented) + "\n");
        File.Move(temporary, file, overwrite: true);
    }

    /// <summary>The file that an option asks for, null for none. What must not be written is refused here, before it is measured.</summary>
    /// <param name="given">The option's value.</param>
    /// <param name="option">Its name, for the message.</param>
    /// <exception cref="VerbException">A bare name whose folder has figures of another machine, or the program stands in no checkout.</exception>
    public static string? Target(string? given, string option)
    {
        if (given is null) return null;
        string file = Place(given);
        if (file != given) MachineResults.RefuseOthers(Path.GetDirectoryName(file)!, MachineInfo.Current.ToJson(), $"name a file in another folder: {option} FOLDER/{given}");
        return file;
    }

    /// <summary>Where a figure goes: a bare name means the folder of this machine's figures.</summary>
    /// <exception cref="VerbException">A bare name, and the program stands in no checkout.</exception>
    internal static string Place(string given) => Path.GetFileName(given) == given ? Path.Combine(Checkout.Results, MachineResults.ThisMachine, given) : given;

    /// <summary>The system's one-minute load: a figure from a busy machine is worth its ratios only.</summary>
    private static double? Load()
    {
        const string file = "/proc/loadavg";
        return File.Exists(file) && double.TryParse(File.ReadAllText(file).Split(' ')[0], CultureInfo.InvariantCulture, out double load) ? load : null;
    }

    /// <summary>The commit that the program was built from, marked when the checkout's code is another by now or has changes (results and texts are no code).</summary>
    private static string Commit()
    {
        string version = typeof(Figure).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        int plus = version.IndexOf('+');
        if (plus < 0) return "unknown";
        string built = version[(plus + 1)..], commit = built[..Math.Min(built.Length, 7)];
        try
        {
            return Git("rev-parse --git-dir").Exit != 0 || Git($"diff --quiet {built} -- :/src :/bench/Sparseland.Bench :/bench/peers :/Directory.Build.props :/Directory.Packages.props").Exit == 0 ? commit : commit + "-dirty";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // No git: what the build recorded is all there is.
            return commit;
        }
    }

    private static (int Exit, string Output) Git(string arguments)
    {
        var start = new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = AppContext.BaseDirectory };
        using Process git = Process.Start(start)!;
        string output = git.StandardOutput.ReadToEnd().Trim();
        git.WaitForExit();
        return (git.ExitCode, output);
    }
}
