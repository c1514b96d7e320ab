using System.Xml.Linq;

namespace Sparseland.Cli.Tests.House;

/// <summary>The rules of the house: floors, file sizes.</summary>
public class FloorTests
{
    [Fact]
    public void AnAssemblyReferencesLowerFloorsOnly()
    {
        Dictionary<string, int> floors = Repository.Floors.ToDictionary(f => f.Name, f => f.Floor);
        int edges = 0;
        foreach ((string name, int floor, System.Reflection.Assembly assembly) in Repository.Floors)
        {
            foreach (System.Reflection.AssemblyName reference in assembly.GetReferencedAssemblies())
            {
                if (!floors.TryGetValue(reference.Name!, out int target)) continue;
                edges++;
                Assert.True(target < floor, $"{name} (floor {floor}) references {reference.Name} (floor {target})");
            }
        }
        Assert.True(edges >= 5, $"only {edges} references between floors were seen");
    }

    [Fact]
    public void AProjectReferencesLowerFloorsOnly()
    {
        Dictionary<string, int> floors = Repository.Floors.ToDictionary(f => f.Name == "sparseland" ? "Sparseland.Cli" : f.Name, f => f.Floor);
        string[] projects = Directory.GetFiles(Path.Combine(Repository.Root, "src"), "*.csproj", SearchOption.AllDirectories);
        Assert.Equal(floors.Count, projects.Length);
        foreach (string project in projects)
        {
            int floor = floors[Path.GetFileNameWithoutExtension(project)];
            foreach (XElement reference in XDocument.Load(project).Descendants("ProjectReference"))
            {
                string target = Path.GetFileNameWithoutExtension(((string)reference.Attribute("Include")!).Replace('\\', '/'));
                Assert.True(floors[target] < floor, $"{Path.GetFileName(project)} references {target}");
            }
        }
    }

    [Fact]
    public void NoSourceFileIsLongerThan800Lines()
    {
        string[] tooLong = Directory.GetFiles(Repository.Root, "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Select(f => (File: Path.GetRelativePath(Repository.Root, f), Lines: File.ReadLines(f).Count()))
            .Where(f => f.Lines > 800)
            .Select(f => $"{f.File}: {f.Lines}")
            .ToArray();
        Assert.True(tooLong.Length == 0, string.Join("; ", tooLong));
    }
}
