using Sparseland.Cli.Hosting;
using Sparseland.Model;
using Sparseland.Model.Architectures;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Services;

/// <summary>Loads and saves models for verbs.</summary>
internal static class ModelAccess
{
    /// <summary>Loads a model file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="architecture">The architecture of a checkpoint without a graph; null matches it.</param>
    /// <param name="normalize">Input normalisation to set, or null.</param>
    public static ModelGraph Load(string path, string? architecture = null, string? normalize = null)
    {
        ModelGraph graph = ModelFile.Load(path, new LoadOptions { Architecture = architecture });
        if (normalize is not null) ModelMetadata.SetNormalization(graph.Metadata, InputNormalization.Parse(normalize));
        return graph;
    }

    /// <summary>Loads a model file, or builds the architecture of that name for the data at hand.</summary>
    public static ModelGraph LoadOrBuild(string modelOrArchitecture, string? architecture, string? architectureOptions, string? normalize, int seed)
    {
        if (File.Exists(modelOrArchitecture)) return Load(modelOrArchitecture, architecture, normalize);
        if (ArchitectureCatalog.Find(modelOrArchitecture) is not { } found)
        {
            throw new VerbException(ExitCodes.BadInputFile, "SL1000", $"'{modelOrArchitecture}' is neither a file nor a known architecture")
            {
                Try = "check the path, or see the names with: sparseland list architectures",
            };
        }
        ArchitectureOptions options = found.DefaultOptions();
        if (architectureOptions is not null) options.Parse(architectureOptions);
        ModelGraph graph = found.Build(options, seed);
        if (normalize is not null) ModelMetadata.SetNormalization(graph.Metadata, InputNormalization.Parse(normalize));
        return graph;
    }

    /// <summary>Refuses to overwrite a file unless told to.</summary>
    /// <exception cref="VerbException">The file exists and force is false.</exception>
    public static void RequireWritable(string path, bool force)
    {
        if (!force && (File.Exists(path) || Directory.Exists(path)))
            throw new VerbException(ExitCodes.Usage, "SL4014", $"'{path}' exists already") { Try = "add --force to overwrite it, or choose another name with -o" };
        if (Directory.Exists(path) && Path.HasExtension(path))
            throw new VerbException(ExitCodes.Usage, "SL4014", $"'{path}' is a folder; a file is to be written") { Try = "choose another name with -o" };
        string? folder = Path.GetDirectoryName(Path.GetFullPath(path));
        if (folder is not null) Directory.CreateDirectory(folder);
    }
}
