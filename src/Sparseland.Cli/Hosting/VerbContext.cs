using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;

namespace Sparseland.Cli.Hosting;

/// <summary>What a running verb knows: console, progress, limits, cancellation.</summary>
/// <remarks>With <c>--json</c> standard output carries the result alone and everything else goes to standard error.</remarks>
internal sealed class VerbContext : IDisposable
{
    private StreamWriter? _log;
    private readonly Lock _logGate = new();
    private readonly CancellationTokenSource _cancellation;
    private readonly bool _hasTimeLimit;
    private readonly MemoryWatch? _memory;
    private readonly List<string> _said = [];
    private bool _resultWritten;

    public VerbContext(VerbSettings settings, CancellationToken cancellation)
    {
        Settings = settings;
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (settings.TimeLimit is { } limit)
        {
            _cancellation.CancelAfter(limit);
            _hasTimeLimit = true;
        }
        if (settings.MemoryLimit is { } bytes) _memory = new MemoryWatch(bytes, _cancellation.Cancel);
        Console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(settings.Json ? System.Console.Error : System.Console.Out),
            // NO_COLOR is honoured by Spectre; a redirected stream has neither colour nor live output.
            Ansi = (settings.Json ? System.Console.IsErrorRedirected : System.Console.IsOutputRedirected) ? AnsiSupport.No : AnsiSupport.Detect,
        });
        if ((settings.Json ? System.Console.IsErrorRedirected : System.Console.IsOutputRedirected)) Console.Profile.Width = 140;
        if (settings.LogFile is not null)
        {
            string? folder = Path.GetDirectoryName(Path.GetFullPath(settings.LogFile));
            if (folder is not null) Directory.CreateDirectory(folder);
            _log = new StreamWriter(settings.LogFile, append: true) { AutoFlush = true };
        }
    }

    public VerbSettings Settings { get; private set; }

    /// <summary>Takes another seed for the run: a recipe's, where no flag gave one.</summary>
    public void UseSeed(long seed) => Settings = Settings with { Seed = checked((int)seed) };

    /// <summary>Where text for people goes.</summary>
    public IAnsiConsole Console { get; }

    /// <summary>Cancelled by Ctrl-C or the time limit.</summary>
    public CancellationToken Cancellation => _cancellation.Token;

    /// <summary>Whether a limit, and not Ctrl-C, ended the work.</summary>
    public bool LimitReached(CancellationToken outer) => (_hasTimeLimit || MemoryLimitReached) && _cancellation.IsCancellationRequested && !outer.IsCancellationRequested;

    /// <summary>Whether the process grew beyond --memory-limit.</summary>
    public bool MemoryLimitReached => _memory?.Reached ?? false;

    /// <summary>Refuses work that would need more than --memory-limit leaves.</summary>
    /// <param name="bytes">What the work will need beside what the process holds now.</param>
    /// <param name="work">The work, for the message.</param>
    /// <exception cref="VerbException">It would be too much (exit 6).</exception>
    public void RequireMemory(long bytes, string work) => _memory?.Require(bytes, work);

    /// <summary>A line for people, unless --quiet.</summary>
    public void Say(string text)
    {
        Log(text);
        if (Settings is { DryRun: true, Json: true }) _said.Add(text);
        if (!Settings.Quiet) Console.WriteLine(text);
    }

    /// <summary>The line that a verb was called for, shown even with --quiet.</summary>
    public void Conclude(string text)
    {
        Log(text);
        if (Settings.Json && Settings.Quiet) return;
        Console.WriteLine(text);
    }

    /// <summary>A line with Spectre mark-up, unless --quiet.</summary>
    public void SayMarkup(string markup)
    {
        Log(Markup.Remove(markup));
        if (!Settings.Quiet) Console.MarkupLine(markup);
    }

    /// <summary>A line that only --verbose shows.</summary>
    public void Detail(string text)
    {
        Log(text);
        if (Settings.Verbose && !Settings.Quiet) Console.WriteLine(text);
    }

    /// <summary>A warning, shown even with --quiet, on standard error.</summary>
    public void Warn(string text)
    {
        Log("warning: " + text);
        System.Console.Error.WriteLine("warning: " + text);
    }

    /// <summary>A table or other block for people, unless --quiet.</summary>
    public void Show(Spectre.Console.Rendering.IRenderable block)
    {
        if (!Settings.Quiet) Console.Write(block);
    }

    /// <summary>The result as JSON on standard output, when --json asks for it.</summary>
    public void Result(JsonNode result)
    {
        if (!Settings.Json) return;
        _resultWritten = true;
        System.Console.Out.WriteLine(result.ToJsonString(JsonText.Indented));
    }

    /// <summary>With --dry-run and --json, what would be done becomes the result when the verb has no other.</summary>
    public void CompleteDryRun()
    {
        if (Settings.DryRun && !_resultWritten) Result(new JsonObject { ["dryRun"] = true, ["would"] = new JsonArray([.. _said.Select(s => (JsonNode)s)]) });
    }

    /// <summary>The closing hint: the next sensible command.</summary>
    public void Next(params string[] commands)
    {
        if (Settings.Quiet || Settings.Json) return;
        Console.WriteLine();
        foreach (string command in commands) Console.MarkupLine($"[grey]next[/]  {Markup.Escape(command)}");
    }

    public void Dispose()
    {
        _memory?.Dispose();
        _cancellation.Dispose();
        lock (_logGate) CloseLog();
    }

    private void Log(string text)
    {
        if (_log is null) return;
        lock (_logGate)
        {
            try
            {
                _log?.WriteLine($"{DateTime.UtcNow:yyyy-MM-ddTHH:mm:ssZ} {text}");
            }
            catch (IOException e)
            {
                // Hours of training are worth more than their log.
                CloseLog();
                System.Console.Error.WriteLine($"warning: the log file '{Settings.LogFile}' cannot be written, going on without it: {e.Message}");
            }
        }
    }

    private void CloseLog()
    {
        StreamWriter? log = _log;
        _log = null;
        try
        {
            log?.Dispose();
        }
        catch (IOException)
        {
            // What could not be written was warned of when it was tried.
        }
    }
}

/// <summary>The common options as parsed.</summary>
internal sealed record VerbSettings
{
    public bool DryRun { get; init; }

    public bool Resume { get; init; }

    public int Seed { get; init; }

    public TimeSpan? TimeLimit { get; init; }

    public long? MemoryLimit { get; init; }

    public bool Quiet { get; init; }

    public bool Verbose { get; init; }

    public bool Json { get; init; }

    public string? LogFile { get; init; }

    public bool NoProgress { get; init; }
}

/// <summary>One way of writing JSON.</summary>
internal static class JsonText
{
    public static JsonSerializerOptions Indented { get; } = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
